import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { CompletionContext } from '@codemirror/autocomplete'
import { EditorState } from '@codemirror/state'
import { describe, expect, it } from 'vitest'

import { completions, sandboxesOf, source } from '../src/editor/complete.ts'
import { diagnosticOf } from '../src/editor/editor.ts'
import { placeAt } from '../src/editor/path.ts'
import type { Schema } from '../src/editor/schema.ts'
import { validate } from '../src/editor/validate.ts'

const policies = join(import.meta.dirname, '../../../policies')
const schema = JSON.parse(readFileSync(join(policies, 'policy.schema.json'), 'utf8')) as Schema
const templates = readdirSync(policies).filter((f) => f.endsWith('.yml'))

// A text with ‸ where the cursor is.
function cursor(text: string): [string, number] {
  const offset = text.indexOf('‸')
  return [text.replace('‸', ''), offset]
}

const head = 'version: 1.0\nsandboxes:\n  a:\n'

describe('placeAt', () => {
  it.each<[string, string, string, boolean]>([
    ['the top', 'ver‸', '', true],
    ['a value at the top', 'version: ‸', 'version', false],
    ['an empty line', `${head}    ‸`, 'sandboxes a', true],
    ['a key that is begun', `${head}    mem: 1MiB\n    wa‸`, 'sandboxes a', true],
    ['a value', `${head}    backend: pro‸`, 'sandboxes a backend', false],
    ['an entry', `${head}    fs:\n      - ‸`, 'sandboxes a fs *', true],
    ['an entry as far left as its key', `${head}    fs:\n    - re‸`, 'sandboxes a fs *', true],
    ['the second entry', `${head}    fs:\n      - read: /a\n      - al‸`, 'sandboxes a fs *', true],
    ['the second key of an entry', `${head}    fs:\n      - read: /a\n        al‸`, 'sandboxes a fs *', true],
    ['a value of an entry', `${head}    fs:\n      - read: /a‸`, 'sandboxes a fs * read', false],
    ['back at the outer map', `${head}    fs:\n      - read: /a\n    ‸`, 'sandboxes a', true],
    ['the next sandbox', `${head}    mem: 1MiB\n  b:\n    ‸`, 'sandboxes b', true],
    ['behind comments and blank lines', `${head}\n# x\n\n    ‸`, 'sandboxes a', true],
    ['in a list in one line', `${head}    imports: [a, ‸`, 'sandboxes a imports *', false],
    ['behind a list that is closed', `${head}    imports: [a, b]‸`, 'sandboxes a imports', false],
    ['in a map in one line', `${head}    restart: {‸`, 'sandboxes a restart', true],
    ['a value in a map in one line', `${head}    restart: {max: 1, strategy: ‸`, 'sandboxes a restart strategy', false],
    ['the next key in a map in one line', `${head}    restart: {strategy: never, ‸`, 'sandboxes a restart', true],
    ['a map in a list in one line', `${head}    fs: [{read: /a}, {‸`, 'sandboxes a fs *', true],
    ['a bracket in quotes', `${head}    fs: ["[", ‸`, 'sandboxes a fs *', false],
    ['a quoted key', 'sandboxes:\n  "a b":\n    ‸', 'sandboxes a b', true],
    ['a list in a list', 'a:\n  - - b: ‸', 'a * * b', false],
  ])('%s', (_, marked, path, key) => {
    const place = placeAt(...cursor(marked))
    expect([place.path.join(' '), place.key]).toEqual([path, key])
  })
  it('never fails', () => {
    const all = templates.map((f) => readFileSync(join(policies, f), 'utf8')).join('\n') + '\n- {[: "\'\n\t- -\n'
    for (let i = 0; i <= all.length; i += 3) expect(placeAt(all, i).from).toBeLessThanOrEqual(i)
  })
})

describe('completions', () => {
  const labels = (marked: string) => completions(schema, ...cursor(marked)).options.map((o) => o.label)
  it('of the top, without what is there', () => expect(labels('version: 1.0\n‸')).toEqual(['defaults', 'sandboxes']))
  it('of a sandbox', () =>
    expect(labels(`${head}    ‸`)).toEqual(expect.arrayContaining(['fs', 'net', 'imports', 'mem', 'contracts', 'restart'])))
  it('of a sandbox, without what is above and below', () => {
    const all = labels(`${head}    mem: 1MiB\n    ‸\n    wall: 1s\n  b:\n    net: []\n`)
    expect(all).not.toContain('mem')
    expect(all).not.toContain('wall')
    expect(all).toContain('net')
  })
  it('of an entry', () => expect(labels(`${head}    fs:\n      - ‸`).sort()).toEqual(['allow', 'deny', 'read', 'write']))
  it('of an entry after another', () =>
    expect(labels(`${head}    net:\n      - connect: 10.0.0.1:443\n      - ‸`).sort()).toEqual(['connect', 'deny']))
  it('of words', () => expect(labels(`${head}    backend: ‸`)).toEqual(['subinterpreter', 'process']))
  it('of one of several types', () => expect(labels(`${head}    numa: ‸`)).toEqual(['auto']))
  it('in one line', () => expect(labels(`${head}    restart: {max: 3, ‸`)).toEqual(['strategy', 'within']))
  it('of the version', () => expect(labels('version: ‸')).toEqual(['1.0']))
  it('of parents', () => expect(labels('version: 1.0\nsandboxes:\n  a:\n  b:\n    extends: ‸')).toEqual(['a']))
  it('of nothing where all is free', () => expect(labels(`${head}    imports: [‸`)).toEqual([]))
  it('say what they are', () => {
    const mem = completions(schema, ...cursor(`${head}    ‸`)).options.find((o) => o.label === 'mem')
    expect(mem).toMatchObject({ apply: 'mem: ', info: expect.stringContaining('memory') })
  })
})

describe('completion', () => {
  const ask = (marked: string, explicit: boolean) => {
    const [doc, offset] = cursor(marked)
    return source(() => schema)(new CompletionContext(EditorState.create({ doc }), offset, explicit))
  }
  it.each<[string, string, boolean, boolean]>([
    ['unasked, in a word', `${head}    me‸`, false, true],
    ['unasked, before a value', `${head}    backend: ‸`, false, true],
    ['unasked, before an entry', `${head}    fs:\n      - ‸`, false, true],
    ['unasked, in an empty line', `${head}    ‸`, false, false],
    ['asked, in an empty line', `${head}    ‸`, true, true],
    ['in a comment', `${head}    # me‸`, true, false],
    ['where all is free', `${head}    mem: ‸`, true, false],
  ])('%s', (_, marked, explicit, proposes) => expect(ask(marked, explicit) !== null).toBe(proposes))
  it('is none before there is a schema', () => {
    expect(source(() => undefined)(new CompletionContext(EditorState.create({ doc: '' }), 0, true))).toBeNull()
  })
})

it('sandboxesOf', () => {
  expect(sandboxesOf('version: 1.0\nsandboxes:\n  # x\n  a:\n    mem: 1MiB\n  "b.c": {}\ndefaults:\n  d:\n')).toEqual([
    'a',
    'b.c',
  ])
  expect(sandboxesOf('')).toEqual([])
})

describe('validate', () => {
  it.each(templates)('finds nothing wrong with %s', (file) => {
    expect(validate(schema, readFileSync(join(policies, file), 'utf8'))).toEqual([])
  })
  it.each<[string, string, string, string]>([
    ['a wrong key', `${head}    memm: 1MiB\n`, 'memm', 'is "mem" meant?'],
    ['a key that nothing is like', `${head}    zzzzzzz: 1\n`, 'zzzzzzz', 'there is no key "zzzzzzz" here'],
    ['a wrong word', `${head}    backend: thread\n`, 'thread', 'subinterpreter or process'],
    ['a wrong type', `${head}    fs: 3\n`, '3', 'this must be array'],
    ['a wrong form', `${head}    mem: lots\n`, 'lots', 'this does not have the form of'],
    ['too small a number', `${head}    files: 0\n`, '0', 'at least 1'],
    ['too large a number', `${head}    children: 65537\n`, '65537', 'at most 65536'],
    ['no whole number', `${head}    files: 1.5\n`, '1.5', 'this must be integer'],
    ['a rule that is none', `${head}    fs:\n      - {}\n`, '{}', 'at least 1 keys'],
    ['a relative path', `${head}    fs:\n      - read: [a]\n`, 'a', 'this does not have the form'],
    ['a missing key', 'version: 1.0\n', 'v', 'the key "sandboxes" is missing'],
    [
      'a key that is not for here',
      'version: 1.0\ndefaults:\n  extends: a\nsandboxes: {a: {}}\n',
      'extends',
      '"extends" is not for here',
    ],
    ['a name of no form', 'version: 1.0\nsandboxes:\n  "a b": {}\n', '"a b"', 'this does not have the form'],
    ['the same key twice', `${head}    mem: 1MiB\n    mem: 2MiB\n`, 'm', 'unique'],
    ['no YAML', 'a: [', '', ''],
  ])('%s', (_, text, at, message) => {
    const [first] = validate(schema, text)
    expect(first?.message).toContain(message)
    if (at) expect(text.slice(first!.from, first!.to)).toContain(at)
  })
  it.each(['', '\u0000', '- - -', '&a [*a]', '{{{', '"', 'a: !!binary x', '? {a: b}\n: c', `${head}    <<: *x`])(
    'never fails: %j',
    (text) => {
      expect(() => validate(schema, text)).not.toThrow()
    },
  )
})

// What the validator does not know it would pass over: the node would find it, later.
it('the schema uses what the validator knows', () => {
  const known = new Set([
    '$schema',
    '$id',
    '$defs',
    '$ref',
    'title',
    'description',
    'type',
    'enum',
    'const',
    'pattern',
    'minimum',
    'maximum',
    'minLength',
    'minItems',
    'maxItems',
    'minProperties',
    'maxProperties',
    'required',
    'properties',
    'patternProperties',
    'additionalProperties',
    'propertyNames',
    'items',
    'oneOf',
    'not',
  ])
  const unknown = new Set<string>()
  const walk = (s: unknown, names: boolean): void => {
    if (typeof s !== 'object' || s === null || Array.isArray(s))
      return void (Array.isArray(s) && s.forEach((one) => walk(one, false)))
    for (const [key, value] of Object.entries(s)) {
      if (!names && !known.has(key)) unknown.add(key)
      if (key === 'not' && !names) expect(Object.keys(value as object)).toEqual(['required'])
      walk(value, !names && ['properties', 'patternProperties', '$defs'].includes(key))
    }
  }
  walk(schema, false)
  expect([...unknown]).toEqual([])
})

describe('diagnosticOf', () => {
  const state = EditorState.create({ doc: 'version: 1.0\n# 🐍 ü: x\n    memm: 3\n\n' })
  it.each<[string, object, string]>([
    ['a word', { line: 3, column: 5 }, 'memm'],
    ['behind characters of two units', { line: 2, column: 3 }, '🐍'],
    ['and then', { line: 2, column: 5 }, 'ü'],
    ['past the line', { line: 1, column: 99 }, ''],
    ['past the text', { line: 99, column: 1 }, ''],
    ['no place', {}, 'version'],
  ])('%s', (_, problem, at) => {
    const d = diagnosticOf(state, problem)
    expect(state.sliceDoc(d.from, d.to)).toBe(at)
  })
})
