import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { Refusal, serveFake, type Fake } from '../e2e/fake.ts'
import { call, stream } from '../src/api/client.ts'
import { CallError, errorOf } from '../src/api/errors.ts'
import { textToBase64 } from '../src/format.ts'

let fake: Fake
let stopped = 0

async function* endless() {
  try {
    for (let i = 1; ; i++) {
      yield { event: { index: String(i) } }
      await new Promise((done) => setImmediate(done))
    }
  } finally {
    stopped++
  }
}

beforeEach(async () => {
  stopped = 0
  fake = await serveFake(
    {
      'CellService/Inspect': ({ name }, token) => ({ report: { cell: { tenant: token, name } } }),
      'CellService/Close': () =>
        new Refusal('unknown', {
          kind: 'GuestError',
          type: 'E\u202e',
          message: 'm\u200b',
          hint: 'h\u2060',
          traceback: 'a\n  b\u061c',
          denial: { action: 'read \u2028' },
        }),
      'PolicyService/Get': () => ({ version: { author: 'a\u202eb', text: textToBase64('# \u202e\n') } }),
      'CellService/Kill': () =>
        new Refusal('not_found', { kind: 'NotFound', message: 'there is no such cell', hint: 'look at the list' }),
    },
    {
      'CellService/Logs': async function* () {
        yield { log: { level: 'stdout', message: 'a' } }
        yield { metric: { name: 'n\u{e0041}', value: 1, tags: { 'k\u202e': 'v\u202e' } } }
        yield { lost: '3' }
      },
      'NodeService/Events': () => endless(),
      'PolicyService/Watch': () => new Refusal('out_of_range', { kind: 'Compacted', message: 'too old' }),
    },
  )
  // Pages call their own server, without saying which.
  const plain = globalThis.fetch
  vi.stubGlobal('fetch', (path: string, init: RequestInit) => plain(new URL(path, fake.url), init))
})

afterEach(async () => {
  vi.unstubAllGlobals()
  await fake.close()
})

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = []
  for await (const item of items) out.push(item)
  return out
}

describe('call', () => {
  it('says of a token with a character that none has that it is no token', async () => {
    for (const token of ['pyi_a…', 'pyi_a\u200b', 'pyi_a\nb']) {
      const err = await call('CellService/Inspect', {}, { token }).catch((err: unknown) => err as CallError)
      expect(err).toMatchObject({ kind: 'Unauthenticated', message: 'it has a character that no token has' })
    }
  })
  it('answers', async () => {
    expect(await call('CellService/Inspect', { name: 'a' }, { token: 'secret' })).toEqual({
      report: { cell: { tenant: 'secret', name: 'a' } },
    })
  })
  it('fails with what the node said', async () => {
    const err = await call('CellService/Kill', {}).catch((err: unknown) => err as CallError)
    expect(err).toMatchObject({ kind: 'NotFound', text: 'there is no such cell; look at the list' })
  })
  it('answers and fails in words that are seen', async () => {
    expect(await call('PolicyService/Get', {})).toEqual({
      version: { author: 'a\\u202eb', text: textToBase64('# \u202e\n') }, // a document stays what it is
    })
    const err = await call('CellService/Close', {}).catch((err: unknown) => err as CallError)
    expect(err).toMatchObject({
      text: 'm\\u200b; h\\u2060',
      detail: { type: 'E\\u202e', traceback: 'a\n  b\\u061c', denial: { action: 'read \\u2028' } },
    })
  })
  it('fails when the call is not there', async () => {
    await expect(call('CellService/Stats', {})).rejects.toMatchObject({ kind: 'Unimplemented' })
  })
  it('fails when no node answers', async () => {
    await fake.close()
    await expect(call('CellService/Stats', {})).rejects.toMatchObject({ kind: 'Unreachable' })
  })
  it('fails with the reason of who ended it', async () => {
    await expect(call('CellService/Stats', {}, { signal: AbortSignal.abort('enough') })).rejects.toBe('enough')
  })
})

describe('stream', () => {
  it('yields until its end', async () => {
    expect(await all(stream('CellService/Logs', {}))).toEqual([
      { log: { level: 'stdout', message: 'a' } },
      { metric: { name: 'n\\U000e0041', value: 1, tags: { 'k\\u202e': 'v\\u202e' } } },
      { lost: '3' },
    ])
  })
  it('fails with what the node said', async () => {
    await expect(all(stream('PolicyService/Watch', {}))).rejects.toMatchObject({ kind: 'Compacted', message: 'too old' })
  })
  it('ends for the node, too, when nobody listens', async () => {
    for await (const { event } of stream('NodeService/Events', {})) if (event?.index === '3') break
    await vi.waitFor(() => expect(stopped).toBe(1))
  })
  it('fails when it is cut off', async () => {
    const cut = async () => {
      for await (const { event } of stream('NodeService/Events', {})) if (event?.index === '3') await fake.close()
    }
    await expect(cut()).rejects.toMatchObject({ kind: 'Unreachable' })
  })
})

describe('errorOf', () => {
  it.each([
    ['nothing', undefined, 'Internal', 'the answer could not be read'],
    ['text', 'oops', 'Internal', 'the answer could not be read'],
    ['a code alone', { code: 'unavailable' }, 'Unavailable', 'unavailable'],
    ['a code of no meaning', { code: 'data_loss', message: 'm' }, 'Internal', 'm'],
    [
      'a detail of another kind',
      { code: 'canceled', message: 'm', details: [{ type: 'x', debug: { kind: 'y' } }] },
      'Cancelled',
      'm',
    ],
    [
      'a detail',
      {
        code: 'canceled',
        message: 'm',
        details: [{ type: 'pyisolate.v1.ErrorDetail', debug: { kind: 'CellGone', message: 'n' } }],
      },
      'CellGone',
      'n',
    ],
    [
      'a detail that cannot be read',
      { code: 'not_found', message: 'm', details: [{ type: 'pyisolate.v1.ErrorDetail', value: 'AA' }] },
      'NotFound',
      'm',
    ],
  ])('%s', (_, sent, kind, message) => {
    expect(errorOf(sent)).toMatchObject({ kind, message })
  })
})

it('takes no page of a proxy for an answer', async () => {
  vi.stubGlobal('fetch', () => Promise.resolve(new Response('<html>Log in</html>', { status: 200 })))
  await expect(call('CellService/Kill', { tenant: 't', name: 'n' })).rejects.toMatchObject({ kind: 'Unreachable' })
})
