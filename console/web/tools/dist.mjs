// What becomes of a build:
//   dist.mjs pack DIR           packs its files beside themselves, and says how large they are
//   dist.mjs compare DIR BUILT  fails when DIR is not what was built now, or not packed from it
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { brotliCompressSync, brotliDecompressSync, constants, gunzipSync, gzipSync } from 'node:zlib'

const most = 350_000 // bytes of all files, with gzip

// Another release of Node.js may pack the same bytes in another way.
const ways = {
  '.gz': { unpack: gunzipSync, pack: (text) => gzipSync(text, { level: constants.Z_BEST_COMPRESSION }) },
  '.br': {
    unpack: brotliDecompressSync,
    pack: (text) => brotliCompressSync(text, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: text.length } }),
  },
}

function filesOf(dir) {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((e) => e.isFile())
    .map((e) => relative(dir, join(e.parentPath, e.name)))
    .sort()
}

const isPacked = (name) => Object.keys(ways).some((extension) => name.endsWith(extension))
const kB = (n) => `${(n / 1000).toFixed(1)} kB`

function pack(dir) {
  const sizes = { plain: 0, '.gz': 0, '.br': 0 }
  for (const name of filesOf(dir)) {
    const text = readFileSync(join(dir, name))
    sizes.plain += text.length
    for (const [extension, { pack }] of Object.entries(ways)) {
      const packed = pack(text)
      if (extension === '.gz') packed[9] = 255 // the system that packed it: unknown
      writeFileSync(join(dir, name + extension), packed)
      sizes[extension] += packed.length
    }
  }
  console.log(`console: ${kB(sizes.plain)}, ${kB(sizes['.gz'])} with gzip, ${kB(sizes['.br'])} with brotli`)
  return sizes['.gz'] > most ? [`more than ${kB(most)} with gzip`] : []
}

function compare(dir, built) {
  const faults = []
  const there = filesOf(dir)
  const wanted = filesOf(built).flatMap((name) => [name, ...Object.keys(ways).map((extension) => name + extension)])
  for (const name of new Set([...there, ...wanted])) {
    if (!there.includes(name)) faults.push(`${name} is missing`)
    else if (!wanted.includes(name)) faults.push(`${name} is not built`)
    else if (!isPacked(name) && !readFileSync(join(dir, name)).equals(readFileSync(join(built, name))))
      faults.push(`${name} differs`)
    else if (isPacked(name)) {
      const { unpack } = ways[name.slice(-3)]
      if (!unpack(readFileSync(join(dir, name))).equals(readFileSync(join(dir, name.slice(0, -3)))))
        faults.push(`${name} is packed from something else`)
    }
  }
  return faults
}

const [what, ...dirs] = process.argv.slice(2)
const faults = { pack, compare }[what](...dirs)
for (const fault of faults) console.error(`console/dist: ${fault}`)
if (faults.length > 0) {
  if (what === 'compare') console.error('console/dist is not of these sources: run `make console`')
  process.exit(1)
}
