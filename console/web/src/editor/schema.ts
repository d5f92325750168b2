// As much of JSON Schema as documents' schema uses; a test holds it to that.

export interface Schema {
  $defs?: Record<string, Schema>
  $ref?: string
  type?: string | string[]
  enum?: unknown[]
  const?: unknown
  pattern?: string
  minimum?: number
  maximum?: number
  minLength?: number
  minItems?: number
  maxItems?: number
  minProperties?: number
  maxProperties?: number
  required?: string[]
  properties?: Record<string, Schema>
  patternProperties?: Record<string, Schema | boolean>
  additionalProperties?: Schema | boolean
  propertyNames?: Schema
  items?: Schema
  oneOf?: Schema[]
  anyOf?: Schema[]
  not?: Schema // of keys that must not be there, and of nothing else
  description?: string
  title?: string
}

// follow a reference within the document.
export function follow(root: Schema, s: Schema): Schema {
  const name = s.$ref?.replace('#/$defs/', '')
  return name === undefined ? s : follow(root, { ...root.$defs?.[name], ...{ ...s, $ref: undefined } })
}

// alternatives of a schema: what a value may be one of.
export function alternatives(root: Schema, s: Schema): Schema[] {
  const one = follow(root, s)
  const of = one.oneOf ?? one.anyOf
  return of
    ? of.flatMap((a) => alternatives(root, a)).map((a) => ({ ...a, description: a.description ?? one.description }))
    : [one]
}

// valueOf a map's key.
export function valueOf(s: Schema, key: string): Schema | undefined {
  const own = s.properties?.[key]
  if (own) return own
  for (const [pattern, value] of Object.entries(s.patternProperties ?? {})) {
    if (new RegExp(pattern, 'u').test(key)) return typeof value === 'object' ? value : {}
  }
  return typeof s.additionalProperties === 'object' ? s.additionalProperties : s.additionalProperties === false ? undefined : {}
}

// at is what may be at a path.
export function at(root: Schema, path: string[]): Schema[] {
  let here = alternatives(root, root)
  for (const step of path) {
    here = here.flatMap((s) => {
      const next = step === '*' ? s.items : s.type === 'array' ? undefined : valueOf(s, step)
      return next ? alternatives(root, next) : []
    })
  }
  return here
}

export const typeText = (all: Schema[]): string =>
  [
    ...new Set(
      all.flatMap((s) =>
        s.enum ? [s.enum.map(String).join(' | ')] : s.const !== undefined ? [String(s.const)] : (s.type ?? []),
      ),
    ),
  ].join(' or ')
