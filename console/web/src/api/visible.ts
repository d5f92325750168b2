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

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

// shortened keeps the beginning of a text that has more than so many bytes, and says how much is left out.
export function shortened(text: string, most: number): string {
  if (text.length * 3 <= most) return text // no character takes more in UTF-8
  const room = new Uint8Array(most)
  const { read, written } = encoder.encodeInto(text, room)
  if (read === text.length) return text
  // A slice would hold the whole text in memory.
  return `${decoder.decode(room.subarray(0, written))}… ${text.length - read} more characters`
}

// allVisible makes each text in a decoded message visible, keys of maps included, and shortens
// those that have more than so many bytes. Bytes are base64 there, a policy's text among them,
// which it leaves alone as long as nothing is to be shortened.
export function allVisible(value: unknown, most = Infinity): unknown {
  if (typeof value === 'string') return visible(shortened(value, most))
  if (Array.isArray(value)) return value.map((held) => allVisible(held, most))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, held]) => [visible(shortened(key, most)), allVisible(held, most)]))
}
