import { describe, expect, it } from 'vitest'

import { disclose, enclose } from '../src/api/envelope.ts'

const text = (s: string) => new TextEncoder().encode(s)

async function* pieces(all: Uint8Array, size: number) {
  for (let i = 0; i < all.length; i += size) yield all.subarray(i, i + size)
}

async function read(all: Uint8Array, size: number) {
  const out: string[] = []
  for await (const { end, data } of disclose(pieces(all, size))) out.push(`${end ? 'end ' : ''}${new TextDecoder().decode(data)}`)
  return out
}

function frame(flags: number, data: string): Uint8Array {
  const out = enclose(text(data))
  out[0] = flags
  return out
}

const concat = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts))

describe('disclose', () => {
  const whole = concat(frame(0, '{"a":1}'), frame(0, ''), frame(0, 'ü'.repeat(300)), frame(2, '{}'))
  it.each([1, 2, 3, 5, 7, 64, 10_000])('pieces of %d bytes', async (size) => {
    expect(await read(whole, size)).toEqual(['{"a":1}', '', 'ü'.repeat(300), 'end {}'])
  })
  it.each([
    ['cut in its head', concat(frame(0, 'a'), new Uint8Array([0, 0])), 'ended within'],
    ['cut in its body', frame(0, 'abc').subarray(0, 6), 'ended within'],
    ['compressed', frame(1, 'a'), 'flags 1'],
    ['flags of no meaning', frame(128, 'a'), 'flags 128'],
    ['a length that is none', new Uint8Array([0, 255, 255, 255, 255]), '4294967295 bytes'],
  ])('%s', async (_, all, message) => {
    await expect(read(all, 4)).rejects.toThrow(message)
  })
})
