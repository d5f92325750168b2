// Calls of the node by the Connect protocol with JSON: docs/serving.md tells of it.

import { disclose, enclose } from './envelope.ts'
import { CallError, errorOf, unreachable } from './errors.ts'
import type { Calls, Streams } from './types.ts'
import { allVisible } from './visible.ts'

export interface Options {
  token?: string // empty: none is sent
  signal?: AbortSignal
  longest?: number // bytes of each text in what a stream yields; the rest of it is left out
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

// call answers, or fails with a CallError; with the signal's reason when that ends it.
export async function call<M extends keyof Calls>(method: M, request: Calls[M][0], options: Options = {}): Promise<Calls[M][1]> {
  const answer = await post(method, 'application/json', encoder.encode(JSON.stringify(request)), options)
  const text = await answer.text().catch((err: unknown) => fail(err, options.signal))
  const value = parse(text)
  if (!answer.ok)
    throw answer.headers.get('Content-Type')?.startsWith('application/json')
      ? errorOf(value)
      : unreachable(`status ${answer.status}`)
  // Else somebody else has answered, a proxy with a page for people.
  if (typeof value !== 'object' || value === null) throw unreachable('what answered is not a node')
  return value as Calls[M][1]
}

// stream yields what comes, until the node ends it. Who stops listening ends it, too.
export async function* stream<M extends keyof Streams>(
  method: M,
  request: Streams[M][0],
  options: Options = {},
): AsyncGenerator<Streams[M][1]> {
  const stop = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal
  try {
    const answer = await post(method, 'application/connect+json', enclose(encoder.encode(JSON.stringify(request))), {
      ...options,
      signal,
    })
    if (!answer.ok || !answer.body) throw unreachable(`status ${answer.status}`)
    for await (const { end, data } of disclose(pieces(answer.body))) {
      const value = parse(decoder.decode(data), end ? undefined : options.longest) as { error?: unknown }
      if (!end) {
        yield value as Streams[M][1]
      } else if (value.error) {
        throw errorOf(value.error)
      } else {
        return
      }
    }
    throw unreachable('the stream was cut off')
  } catch (err) {
    fail(err, options.signal)
  } finally {
    stop.abort()
  }
}

// reach fails when the node, or what is before it, does not answer.
export async function reach(signal: AbortSignal): Promise<void> {
  const answer = await fetch('/healthz', { signal, credentials: 'omit', cache: 'no-store', redirect: 'manual' }).catch(
    (err: unknown) => fail(err, signal),
  )
  void answer.body?.cancel()
  if (answer.status >= 500) throw unreachable(`status ${answer.status}`)
}

async function post(method: string, type: string, body: Uint8Array<ArrayBuffer>, { token, signal }: Options): Promise<Response> {
  if (token && /[^\x21-\x7e]/.test(token))
    throw new CallError({ kind: 'Unauthenticated', message: 'it has a character that no token has' })
  const headers: Record<string, string> = { 'Content-Type': type, 'Connect-Protocol-Version': '1' }
  if (token) headers.Authorization = `Bearer ${token}`
  return fetch(`/pyisolate.v1.${method}`, {
    method: 'POST',
    headers,
    body,
    signal,
    credentials: 'omit',
    cache: 'no-store',
    redirect: 'error',
  }).catch((err: unknown) => fail(err, signal))
}

// Not every browser can iterate over a ReadableStream.
async function* pieces(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = body.getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield value
    }
  } finally {
    reader.releaseLock()
  }
}

// Whatever comes from a node comes through here, failures too.
function parse(text: string, longest?: number): unknown {
  try {
    return allVisible(JSON.parse(text), longest)
  } catch {
    return undefined
  }
}

// fail says of what the browser says only that it failed.
function fail(err: unknown, signal?: AbortSignal): never {
  if (signal?.aborted || err instanceof CallError) throw signal?.aborted ? signal.reason : err
  throw unreachable(err instanceof Error ? err.message : String(err))
}
