// A server that answers what a test tells it to: for faults and crowds that a real node
// does not have when they are wanted. What a node answers is tested with a node.

import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join } from 'node:path'

import type { Calls, ErrorDetail, Streams } from '../src/api/types.ts'

export class Refusal {
  constructor(
    readonly code: string,
    readonly detail: ErrorDetail,
  ) {}
}

export type Answers = {
  [M in keyof Calls]?: (request: Calls[M][0], token: string) => Calls[M][1] | Refusal | Promise<Calls[M][1]>
}
export type Streaming = {
  [M in keyof Streams]?: (request: Streams[M][0]) => AsyncIterable<Streams[M][1]> | Refusal
}

export interface Fake {
  url: string
  // The calls that are under way.
  held: () => string[]
  close: () => Promise<void>
}

const types: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
}
const dist = join(import.meta.dirname, '../../dist')

// serveFake answers /healthz when `alive` is done.
export async function serveFake(answers: Answers, streams: Streaming, alive = async () => {}): Promise<Fake> {
  const held = new Set<ServerResponse>()
  const server = createServer((request, response) => {
    if (request.method === 'POST') held.add(response.on('close', () => held.delete(response)))
    const answer =
      request.url === '/healthz'
        ? alive().then(() => response.end())
        : request.method === 'GET'
          ? page(request, response)
          : call(request, response, answers, streams)
    answer.catch(() => response.destroy())
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/console/`,
    held: () => [...held].map((r) => methodOf(r.req)).sort(),
    close: () => {
      server.closeAllConnections()
      return new Promise((done) => server.close(() => done()))
    },
  }
}

async function page(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const name = (request.url ?? '').replace(/^\/console\//, '') || 'index.html'
  const text = await readFile(join(dist, name)).catch(() => undefined)
  response.writeHead(text ? 200 : 404, { 'Content-Type': types[extname(name)] ?? 'text/plain' }).end(text)
}

async function call(request: IncomingMessage, response: ServerResponse, answers: Answers, streams: Streaming): Promise<void> {
  const body = await bodyOf(request)
  const method = methodOf(request)
  const token = request.headers.authorization?.replace('Bearer ', '') ?? ''
  const known = (answers as Record<string, ((r: unknown, token: string) => unknown) | undefined>)[method]
  if (request.headers['content-type'] === 'application/json') {
    const answer = known
      ? await known(JSON.parse(body.toString()), token)
      : new Refusal('unimplemented', { kind: 'Unimplemented', message: method })
    const failed = answer instanceof Refusal
    response
      .writeHead(failed ? 400 : 200, { 'Content-Type': 'application/json' })
      .end(JSON.stringify(failed ? errorOf(answer) : answer))
    return
  }
  response.writeHead(200, { 'Content-Type': 'application/connect+json' })
  const items = (streams as Record<string, ((r: unknown) => AsyncIterable<unknown> | Refusal) | undefined>)[method]?.(
    JSON.parse(body.subarray(5).toString()),
  )
  if (items === undefined || items instanceof Refusal) {
    response.end(
      envelope({ error: errorOf(items ?? new Refusal('unimplemented', { kind: 'Unimplemented', message: method })) }, 2),
    )
    return
  }
  for await (const item of items) {
    if (response.destroyed) return
    response.write(envelope(item, 0))
  }
  response.end(envelope({}, 2))
}

const methodOf = (request: IncomingMessage) => (request.url ?? '').replace('/pyisolate.v1.', '')

const errorOf = ({ code, detail }: Refusal) => ({
  code,
  message: detail.message,
  details: [{ type: 'pyisolate.v1.ErrorDetail', value: '', debug: detail }],
})

export function envelope(value: unknown, flags: number): Buffer {
  const data = Buffer.from(JSON.stringify(value))
  const head = Buffer.alloc(5)
  head[0] = flags
  head.writeUInt32BE(data.length, 1)
  return Buffer.concat([head, data])
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of request) pieces.push(piece as Buffer)
  return Buffer.concat(pieces)
}
