// Words that others have written, guests above all, as they may be shown.

// What is not seen, or moves what stands beside it, and so makes words look like other words:
// controls, marks of direction, characters without a width. Line breaks and tabs may stay, and
// what only makes a sign an emoji.
const unseen = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}](?<![\n\t]|\p{Extended_Pictographic}\ufe0f)/gu

function escaped(c: string): string {
  const code = c.codePointAt(0)!.toString(16)
  return code.length > 4 ? `\\U${code.padStart(8, '0')}` : `\\u${code.padStart(4, '0')}`
}

// visible writes what is not seen as Python does. What is visible stays as it is.
export const visible = (text: string): string => text.replace(unseen, escaped)

// allVisible does so with each text in a decoded message, keys of maps included. Bytes are
// base64 there, a policy's text among them, which it leaves alone.
export function allVisible(value: unknown): unknown {
  if (typeof value === 'string') return visible(value)
  if (Array.isArray(value)) return value.map(allVisible)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, held]) => [visible(key), allVisible(held)]))
}
