// Nodes of their own that form a cluster, on loopback addresses of this process.

import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

import { binary, serve, type Process } from './node.ts'

const patience = 60_000 // milliseconds, for what takes a second or two where nothing else runs

export interface Cluster {
  nodes: Process[] // n1, n2, …
  close: () => Promise<void>
}

export async function startCluster(size: number): Promise<Cluster> {
  const dir = mkdtempSync(join(tmpdir(), 'console-cluster-'))
  const nodes: Process[] = []
  const close = async () => {
    for (const node of [...nodes].reverse()) await node.close()
    rmSync(dir, { recursive: true, force: true })
  }
  try {
    for (let i = 1; i <= size; i++) nodes.push(await member(dir, i, nodes[0]))
    await eventually(() => whole(nodes))
  } catch (err) {
    await close()
    throw err
  }
  return { nodes, close }
}

// member founds the cluster, or joins it by the first node's invitation, and serves.
async function member(parent: string, i: number, first: Process | undefined): Promise<Process> {
  const dir = join(parent, `n${i}`)
  mkdirSync(dir)
  const at = `127.${1 + ((process.pid >> 8) % 254)}.${process.pid % 256}.${i}:7710`
  const named = ['--data', join(dir, 'data'), '--name', `n${i}`, '--advertise', at]
  if (first) {
    const token = await eventually(() => run(['cluster', 'invite', `n${i}`, '--socket', first.socket]))
    await run(['cluster', 'join', '-', ...named], token)
  } else {
    await run(['init', ...named])
  }
  return serve(dir, ['--cluster-lease', '3s', '--drain-timeout', '1s'])
}

// whole says whether each node sees all of them, with what they need to run cells.
async function whole(nodes: Process[]): Promise<true> {
  for (const node of nodes) {
    const members = (await run(['cluster', 'members', '--json', '--socket', node.socket]))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { state: string; session: boolean })
    if (members.filter((m) => m.state === 'alive' && m.session).length !== nodes.length)
      throw new Error(`of ${nodes.length} nodes there are: ${JSON.stringify(members)}`)
  }
  return true
}

async function eventually<T>(ask: () => Promise<T>): Promise<T> {
  const until = Date.now() + patience
  for (;;) {
    try {
      return await ask()
    } catch (err) {
      if (Date.now() > until) throw err
      await pause(100)
    }
  }
}

function run(args: string[], input = ''): Promise<string> {
  return new Promise((done, fail) => {
    const child = execFile(binary, args, { timeout: patience }, (err, stdout) => (err ? fail(err) : done(stdout)))
    child.stdin?.end(input)
  })
}
