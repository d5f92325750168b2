// What the schema says of a document, at once and without the node. The node's own check
// comes after it, knows more, and has the last word.

import { isAlias, isMap, isScalar, isSeq, parseDocument, type Node, type ParsedNode } from 'yaml'

import { alternatives, typeText, valueOf, type Schema } from './schema.ts'

export interface Fault {
  from: number
  to: number
  message: string
  severity: 'error' | 'warning'
}

// validate returns faults in the order of the text; none of them throws.
export function validate(root: Schema, text: string): Fault[] {
  const doc = parseDocument(text, { version: '1.2', prettyErrors: false, uniqueKeys: true, logLevel: 'silent' })
  const faults: Fault[] = doc.errors.map((e) => ({
    from: e.pos[0],
    to: Math.max(e.pos[1], e.pos[0] + 1),
    message: e.message,
    severity: 'error',
  }))
  if (faults.length === 0 && doc.contents) check(root, root, doc.contents as ParsedNode, faults)
  return faults.sort((a, b) => a.from - b.from)
}

function check(root: Schema, s: Schema, node: Node, faults: Fault[]): void {
  if (isAlias(node)) return // the node says what it thinks of them
  const all = alternatives(root, s)
  // Of several, the one that is meant is told by its type.
  const fitting = all.filter((a) => !a.type || [a.type].flat().some((t) => isOf(node, t)))
  const [from, to] = rangeOf(node)
  if (fitting.length === 0) {
    faults.push({ from, to, message: `this must be ${typeText(all)}`, severity: 'error' })
    return
  }
  const tried = fitting.map((a) => {
    const own: Fault[] = []
    checkOne(root, a, node, own)
    return own
  })
  faults.push(...tried.reduce((best, next) => (next.length < best.length ? next : best)))
}

function isOf(node: Node, type: string): boolean {
  if (type === 'object') return isMap(node)
  if (type === 'array') return isSeq(node)
  if (!isScalar(node)) return false
  const value = node.value
  if (type === 'integer') return typeof value === 'number' && Number.isInteger(value)
  if (type === 'null') return value === null
  return typeof value === type
}

function checkOne(root: Schema, s: Schema, node: Node, faults: Fault[]): void {
  if (isMap(node)) checkMap(root, s, node, faults)
  else if (isSeq(node)) {
    bounds(node, node.items.length, s.minItems, s.maxItems, 'entries', faults)
    for (const item of node.items) if (s.items) check(root, s.items, item as Node, faults)
  } else if (isScalar(node)) checkScalar(s, node.value, node, faults)
}

function checkMap(root: Schema, s: Schema, node: Node, faults: Fault[]): void {
  if (!isMap(node)) return
  bounds(node, node.items.length, s.minProperties, s.maxProperties, 'keys', faults)
  for (const name of s.required ?? []) {
    if (!node.has(name))
      faults.push({
        from: rangeOf(node)[0],
        to: rangeOf(node)[0] + 1,
        message: `the key "${name}" is missing`,
        severity: 'error',
      })
  }
  for (const { key, value } of node.items) {
    if (!isScalar(key)) continue
    const [from, to] = rangeOf(key)
    const name = String(key.value)
    const next = valueOf(s, name)
    if (s.not?.required?.includes(name)) faults.push({ from, to, message: `"${name}" is not for here`, severity: 'error' })
    if (!next)
      faults.push({
        from,
        to,
        message: `there is no key "${name}" here${nearest(name, Object.keys(s.properties ?? {}))}`,
        severity: 'error',
      })
    if (s.propertyNames) checkScalar(s.propertyNames, name, key, faults)
    if (next && value) check(root, next, value as Node, faults)
  }
}

function checkScalar(s: Schema, value: unknown, node: Node, faults: Fault[]): void {
  const [from, to] = rangeOf(node)
  const say = (message: string) => faults.push({ from, to, message, severity: 'error' })
  if (s.enum && !s.enum.includes(value)) say(`this must be ${s.enum.map(String).join(' or ')}`)
  if (s.const !== undefined && s.const !== value) say(`this must be ${String(s.const)}`)
  if (typeof value === 'string' && value.length < (s.minLength ?? 0)) say(`this must have at least ${s.minLength} characters`)
  if (s.pattern && typeof value === 'string' && !new RegExp(s.pattern, 'u').test(value))
    say(`this does not have the form of ${s.description?.split(/[.;]/)[0] ?? s.pattern}`)
  if (typeof value === 'number') bounds(node, value, s.minimum, s.maximum, '', faults)
}

function bounds(node: Node, n: number, low: number | undefined, high: number | undefined, of: string, faults: Fault[]): void {
  const [from, to] = rangeOf(node)
  if (low !== undefined && n < low)
    faults.push({ from, to, message: `this must be at least ${low} ${of}`.trim(), severity: 'error' })
  if (high !== undefined && n > high)
    faults.push({ from, to, message: `this must be at most ${high} ${of}`.trim(), severity: 'error' })
}

const rangeOf = (node: Node): [number, number] => [node.range?.[0] ?? 0, node.range?.[1] ?? 1]

// nearest proposes a word that differs by a letter or two.
function nearest(word: string, known: string[]): string {
  const close = known
    .map((k) => [k, distance(word, k)] as const)
    .filter(([, d]) => d <= 2)
    .sort((a, b) => a[1] - b[1])[0]
  return close ? `; is "${close[0]}" meant?` : ''
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
    row = next
  }
  return row[b.length]!
}
