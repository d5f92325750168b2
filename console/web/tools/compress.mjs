// Packs what was built, beside it, and says how large it is. It fails when that is more
// than a console may be.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

const most = 350_000 // bytes of all files, with gzip
const dist = process.argv[2]

let [plain, gzip, brotli] = [0, 0, 0]
for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue
  const file = join(entry.parentPath, entry.name)
  const text = readFileSync(file)
  const gz = gzipSync(text, { level: 9 })
  gz[9] = 255 // the system that packed it: unknown
  const br = brotliCompressSync(text, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: text.length } })
  writeFileSync(`${file}.gz`, gz)
  writeFileSync(`${file}.br`, br)
  plain += text.length
  gzip += gz.length
  brotli += br.length
}
const kB = (n) => `${(n / 1000).toFixed(1)} kB`
console.log(`console: ${kB(plain)}, ${kB(gzip)} with gzip, ${kB(brotli)} with brotli`)
if (gzip > most) {
  console.error(`console: more than ${kB(most)} with gzip`)
  process.exit(1)
}
