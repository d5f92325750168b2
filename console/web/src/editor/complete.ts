import type { Completion, CompletionContext, CompletionResult } from '@codemirror/autocomplete'

import { placeAt, type Place } from './path.ts'
import { alternatives, at, typeText, type Schema } from './schema.ts'

// completions for what is being written, from the schema.
export function completions(schema: Schema, text: string, offset: number): { from: number; options: Completion[] } {
  const place = placeAt(text, offset)
  return { from: place.from, options: place.key ? keys(schema, place) : values(schema, text, place) }
}

function keys(schema: Schema, place: Place): Completion[] {
  const found = new Map<string, Completion>()
  for (const s of at(schema, place.path)) {
    for (const [key, value] of Object.entries(s.properties ?? {})) {
      if (place.present.includes(key)) continue
      const all = alternatives(schema, value)
      found.set(key, {
        label: key,
        type: 'property',
        detail: typeText(all),
        info: value.description ?? all[0]?.description,
        apply: `${key}: `,
      })
    }
  }
  return [...found.values()]
}

function values(schema: Schema, text: string, place: Place): Completion[] {
  if (place.path.at(-1) === 'extends')
    return sandboxesOf(text)
      .filter((name) => name !== place.path.at(-2))
      .map((label) => ({ label, type: 'variable', detail: 'sandbox' }))
  // What a list may hold can be written as a value alone where the schema says so.
  const found = at(schema, place.path).flatMap(
    (s) => s.enum ?? (s.type === 'boolean' ? [true, false] : s.const !== undefined ? [s.const] : []),
  )
  return [...new Set(found.map(valueText))].map((label) => ({ label, type: 'enum' }))
}

// A number such as 1.0 is written as YAML readers tell it from 1.
const valueText = (v: unknown) => (typeof v === 'number' && Number.isInteger(v) ? v.toFixed(1) : String(v))

// sandboxesOf a document, as far as it is written.
export function sandboxesOf(text: string): string[] {
  const lines = text.split('\n')
  const from = lines.findIndex((l) => /^sandboxes:/.test(l))
  if (from < 0) return []
  const names: string[] = []
  let indent: number | undefined
  for (const line of lines.slice(from + 1)) {
    if (/^\s*(#|$)/.test(line)) continue
    const at = line.length - line.trimStart().length
    if (at === 0) break
    indent ??= at
    const key = /^\s*["']?([\w.-]+)["']?\s*:/.exec(line)
    if (at === indent && key) names.push(key[1]!)
  }
  return names
}

// source of completions for the editor.
export const source =
  (schema: () => Schema | undefined) =>
  (context: CompletionContext): CompletionResult | null => {
    const known = schema()
    if (!known || context.matchBefore(/#.*/)) return null
    const { from, options } = completions(known, context.state.doc.toString(), context.pos)
    // Unasked, only to who has begun a word, a value or an entry.
    if (options.length === 0 || (!context.explicit && from === context.pos && !context.matchBefore(/[:-] /))) return null
    return { from, options, validFor: /^[\w.-]*$/ }
  }
