// Connect's framing of streams: a byte of flags, a length of four bytes, big end first, and
// so many bytes.

// What one message may have; the node sends none that is as long.
export const maxMessage = 80 << 20

const endOfStream = 0x02

export interface Envelope {
  end: boolean
  data: Uint8Array
}

export function enclose(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(5 + data.length)
  new DataView(out.buffer).setUint32(1, data.length)
  out.set(data, 5)
  return out
}

// disclose yields the envelopes that come in pieces of any size. It fails when the pieces
// end within one, or one is what nobody has agreed on.
export async function* disclose(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Envelope> {
  let held = new Uint8Array(0)
  for await (const piece of pieces) {
    held = join(held, piece)
    for (;;) {
      if (held.length < 5) break
      const flags = held[0]!
      const length = new DataView(held.buffer, held.byteOffset, 5).getUint32(1)
      if (flags !== 0 && flags !== endOfStream) throw new Error(`a message with the flags ${flags}`)
      if (length > maxMessage) throw new Error(`a message of ${length} bytes`)
      if (held.length < 5 + length) break
      yield { end: flags === endOfStream, data: held.subarray(5, 5 + length) }
      held = held.subarray(5 + length)
    }
  }
  if (held.length > 0) throw new Error('the stream ended within a message')
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(a.length + b.length)
  out.set(a)
  out.set(b, a.length)
  return out
}
