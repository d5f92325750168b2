// Writes src/api/types.ts from the protos: each message as its JSON is, each call with its
// types. `--check` fails instead when the file is not what it would write.
import { readFileSync, writeFileSync } from 'node:fs'

const protos = new URL('../../../api/proto/pyisolate/v1/', import.meta.url)
const target = new URL('../src/api/types.ts', import.meta.url)

// The JSON mapping of protobuf: 64-bit numbers are strings, and so are bytes (base64),
// timestamps (RFC 3339) and durations ("1.5s").
const scalars = {
  string: 'string',
  bool: 'boolean',
  double: 'number',
  float: 'number',
  int32: 'number',
  uint32: 'number',
  int64: 'string',
  uint64: 'string',
  bytes: 'string',
  'google.protobuf.Timestamp': 'string',
  'google.protobuf.Duration': 'string',
}
const typeOf = (name) => scalars[name] ?? name
const camel = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase())

function fieldOf(line, where) {
  const map = /^map<(\w+), ([\w.]+)> (\w+) = \d+$/.exec(line)
  if (map) return `${camel(map[3])}?: Record<string, ${typeOf(map[2])}>`
  const plain = /^(?:(repeated|optional) )?([\w.]+) (\w+) = \d+$/.exec(line)
  if (!plain) throw new Error(`${where}: this is no field: ${line}`)
  return `${camel(plain[3])}?: ${typeOf(plain[2])}${plain[1] === 'repeated' ? '[]' : ''}`
}

function messages(text, file) {
  const out = []
  for (const [, name, body] of text.matchAll(/message (\w+) \{((?:[^{}]|\{[^{}]*\})*)\}/g)) {
    const fields = body
      .replace(/oneof \w+ \{([^}]*)\}/g, '$1')
      .split(';')
      .map((f) => f.trim())
      .filter(Boolean)
    out.push(
      fields.length === 0
        ? `export type ${name} = Record<string, never>\n`
        : `export interface ${name} {\n${fields.map((f) => `  ${fieldOf(f, `${file}: ${name}`)}\n`).join('')}}\n`,
    )
  }
  return out
}

function calls(text, streaming) {
  const out = []
  for (const [, service, body] of text.matchAll(/service (\w+) \{([^}]*)\}/g)) {
    for (const [, name, request, stream, response] of body.matchAll(/rpc (\w+)\((\w+)\) returns \((stream )?(\w+)\)/g)) {
      if (Boolean(stream) === streaming) out.push(`  '${service}/${name}': [${request}, ${response}]\n`)
    }
  }
  return out
}

const parts = ['error', 'cell', 'node', 'policy', 'cluster'].map((name) => {
  const file = `${name}.proto`
  return { file, text: readFileSync(new URL(file, protos), 'utf8').replace(/\/\/.*$/gm, '') }
})
const text = [
  '// Made from api/proto by tools/types.mjs; `npm run types` renews it.\n\n',
  parts.flatMap(({ text, file }) => messages(text, file)).join('\n'),
  '\n// Calls with one answer: what is asked, and what is answered.\n',
  `export interface Calls {\n${parts.flatMap(({ text }) => calls(text, false)).join('')}}\n`,
  '\n// Calls that answer a stream.\n',
  `export interface Streams {\n${parts.flatMap(({ text }) => calls(text, true)).join('')}}\n`,
].join('')

if (!process.argv.includes('--check')) {
  writeFileSync(target, text)
} else if (readFileSync(target, 'utf8') !== text) {
  console.error('src/api/types.ts is not of the protos: run `npm run types` in console/web')
  process.exit(1)
}
