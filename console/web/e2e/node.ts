// A node of its own for a test: `pyisolate-node serve`, as people start it.

import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { Calls } from '../src/api/types.ts'

export const binary = process.env.PYISOLATE_NODE ?? join(import.meta.dirname, '../../../bin/pyisolate-node')

export interface Node {
  url: string
  // A call by the node's own user, who may do all.
  call: <M extends keyof Calls>(method: M, body: Calls[M][0]) => Promise<Calls[M][1]>
  token: (role: string, tenant?: string) => Promise<string>
  close: () => Promise<void>
}

export async function startNode(): Promise<Node> {
  const dir = mkdtempSync(join(tmpdir(), 'console-node-'))
  const node = await serve(dir)
  const close = async () => {
    await node.close()
    rmSync(dir, { recursive: true, force: true })
  }
  return { ...node, close }
}

export interface Process extends Node {
  socket: string
  kill: () => Promise<void> // without any word
}

// serve starts a node whose files are in a directory, which stays when it ends.
export async function serve(dir: string, flags: string[] = []): Promise<Process> {
  const socket = join(dir, 'node.sock')
  const port = await freePort()
  const listen = ['--socket', socket, '--listen', `http://127.0.0.1:${port}`, '--plain-loopback']
  const node = spawn(binary, ['serve', '--data', join(dir, 'data'), ...listen, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise<void>((done) => node.once('exit', () => done()))
  const end = (signal: NodeJS.Signals) => {
    node.kill(signal)
    return ended
  }
  const call: Node['call'] = (method, body) => callSocket(socket, method, body)
  await ready(node)
  let tokens = 0
  return {
    url: `http://127.0.0.1:${port}/console/`,
    socket,
    call,
    token: async (role, tenant) =>
      (await call('PolicyService/CreateToken', { name: `test-${++tokens}`, role, tenant })).secret ?? '',
    close: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
  }
}

// ready waits for the first line, which says so.
function ready(node: ChildProcess): Promise<void> {
  let said = ''
  return new Promise((done, fail) => {
    node.stdout?.on('data', () => done())
    node.stderr?.on('data', (data: Buffer) => (said += data.toString()))
    node.once('error', fail)
    node.once('exit', (status) => fail(new Error(`the node ended with status ${status}:\n${said}`)))
  })
}

function freePort(): Promise<number> {
  return new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => done(port))
    })
  })
}

function callSocket<A>(socketPath: string, method: string, body: unknown): Promise<A> {
  return new Promise((done, fail) => {
    const call = request(
      { socketPath, path: `/pyisolate.v1.${method}`, method: 'POST', headers: { 'Content-Type': 'application/json' } },
      (answer) => {
        const pieces: Buffer[] = []
        answer.on('data', (piece: Buffer) => pieces.push(piece))
        answer.on('end', () => {
          const text = Buffer.concat(pieces).toString()
          if (answer.statusCode === 200) done(JSON.parse(text) as A)
          else fail(new Error(`${method}: ${text}`))
        })
      },
    )
    call.on('error', fail)
    call.end(JSON.stringify(body))
  })
}
