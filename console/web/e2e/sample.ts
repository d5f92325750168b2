// A node as it could be, for the fake server.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import type { CellReport, CheckpointInfo, Event, Layer, LogsResponse, Node, Version } from '../src/api/types.ts'
import { Refusal, type Answers, type Streaming } from './fake.ts'

const repo = join(import.meta.dirname, '../../..')
const ago = (s: number) => new Date(Date.now() - s * 1000).toISOString()
const base64 = (text: string) => Buffer.from(text).toString('base64')

export const layers: Layer[] = [
  {
    name: 'seccomp',
    active: true,
    evidence: 'a filter of 214 instructions was loaded, and getpid was answered with EPERM when it said so',
  },
  {
    name: 'landlock',
    active: true,
    evidence: 'ABI 3: a ruleset was made and a file outside it could not be opened',
    gaps: ['moves between directories are judged from ABI 2 on', 'sockets: not before ABI 4'],
  },
  { name: 'cgroup', active: true, evidence: '/sys/fs/cgroup/memory, pids' },
  {
    name: 'bpf-lsm',
    active: false,
    evidence: 'bpf is not in lsm= of the kernel command line',
    gaps: ['addresses are judged when a name is resolved, and not at connect'],
  },
]

export function cells(n: number): CellReport[] {
  const states = ['running', 'running', 'running', 'quarantined', 'crashed']
  return Array.from({ length: n }, (_, i) => ({
    cell: {
      tenant: i % 3 === 0 ? 'analytics' : 'team',
      name: ['reader', 'etl', 'scrape', 'score', 'report'][i % 5]! + (i > 4 ? `-${i}` : ''),
    },
    id: `c${i}`,
    backend: i % 2 ? 'process' : 'subinterpreter',
    state: states[i % states.length],
    busy: i % 4 === 1,
    epoch: '1',
    reason: i % 5 === 4 ? 'MemoryExceeded: it asked for more than 64 MiB' : undefined,
    started: ago(i * 97 + 3),
    cpu: `${(i * 0.734 + 0.021).toFixed(3)}s`,
    memory: String(4_800_000 + i * 917_504),
    memoryPeak: String(9_000_000 + i * 1_000_000),
    output: '18231',
    posts: String(i * 3),
    logs: '12',
    denials: i % 4 === 1 ? String(i) : undefined,
    policy: {
      ref: { name: 'team/reader', sandbox: 'reader' },
      version: '3',
      newest: '3',
      hash: base64('0123456789abcdef0123456789abcdef'),
      layers: ["guest's gate", 'landlock'],
    },
    layers,
    unheld: i % 2 ? [] : ['sent: bytes of IP packets are counted by no layer of this kernel'],
    node: 'node-1',
    topics: ['prices'],
    limits: { memory: '67108864', cpu: '30s', wall: '5s', output: '16777216' },
  }))
}

export const logs: LogsResponse[] = [
  { log: { level: 'stdout', message: 'reading /srv/data/2026-11.csv', at: ago(62) } },
  { log: { level: 'info', message: 'rows read', fields: '{"rows": 18230}', at: ago(61) } },
  ...Array.from({ length: 30 }, (_, i) => ({
    metric: { name: 'rows', value: Math.round(500 + 300 * Math.sin(i / 4)), tags: { file: 'a' }, at: ago(60 - i) },
  })),
  {
    denial: {
      cell: 'etl',
      capability: 'fs.read',
      action: 'open /etc/shadow',
      rule: 'no rule permits it',
      kernel: 'landlock',
      at: ago(20),
    },
  },
  { log: { level: 'warning', message: 'skipped one row \u001b[31mred\u001b[0m', at: ago(12) } },
  {
    log: {
      level: 'stderr',
      message: 'Traceback (most recent call last):\n  File "<cell>", line 3\nValueError: bad row',
      at: ago(4),
    },
  },
  { lost: '12' },
]

export const events: Event[] = Array.from({ length: 24 }, (_, i) => {
  const kind = ['CELL_STARTED', 'DENIED', 'POLICY_HOTLOAD', 'MEM_KILL', 'CELL_ENDED', 'CPU_THROTTLE'][i % 6]!
  return {
    index: String(i + 1),
    node: 'n1',
    kind,
    at: ago(600 - i * 20),
    cell: { tenant: 'team', name: 'etl' },
    epoch: '1',
    message: 'as it should be',
    policy: kind.startsWith('POLICY') ? 'team/reader' : undefined,
    version: kind.startsWith('POLICY') ? '3' : undefined,
    denial:
      kind === 'DENIED'
        ? {
            cell: 'etl',
            capability: 'fs.read',
            action: `open /etc/shadow-${i}`,
            rule: 'no rule permits it',
            kernel: 'landlock',
            at: ago(1),
          }
        : undefined,
  }
})

export const node: Node = {
  id: 'node-1',
  version: '0.6.0',
  state: 'ready',
  started: ago(90_000),
  uptime: '90000s',
  python: '3.14.2 cp314',
  mode: 'dev',
  backends: ['subinterpreter', 'process'],
  layers,
  kernel: '6.1.0-28-amd64',
  cpus: 8,
  memory: '16777216000',
  cells: 5,
  maxCells: 4096,
  root: true,
  addresses: ['/run/pyisolate/node.sock', '127.0.0.1:7443'],
  labels: { zone: 'a' },
}

export const document = readFileSync(join(repo, 'policies/web_scraper.yml'), 'utf8')
export const schema = readFileSync(join(repo, 'policies/policy.schema.json'), 'utf8')

export function versions(): Version[] {
  return [3, 2, 1].map((n) => ({
    name: 'team/reader',
    number: String(n),
    index: String(n),
    hash: base64('0123456789abcdef0123456789abcdef'),
    author: n === 2 ? 'deploy' : 'alice',
    comment: ['first version', 'no files', 'it was needed'][n - 1],
    time: ago((4 - n) * 4000),
    source: n === 3 ? 'rollback:1' : undefined,
    text: n === 3 ? base64(document) : undefined,
  }))
}

export function checkpoint(more: CheckpointInfo = {}): CheckpointInfo {
  return {
    id: '3f1c09aa51e7'.padEnd(64, '0'),
    cell: { tenant: 'team', name: 'one' },
    epoch: '3',
    size: '524288',
    at: ago(42),
    python: 'cpython-314',
    nodes: ['n1', 'n2'],
    backend: 'subinterpreter',
    ...more,
  }
}

export const answers: Answers = {
  'CellService/List': () => ({ reports: cells(5) }),
  'CellService/Inspect': ({ name }) => ({ report: cells(5).find((c) => c.cell?.name === name) }),
  'CellService/Exec': ({ code }) =>
    code?.includes('1/0')
      ? new Refusal('unknown', {
          kind: 'GuestError',
          type: 'ZeroDivisionError',
          message: 'division by zero',
          traceback:
            'Traceback (most recent call last):\n  File "<cell>", line 1, in <module>\n    1/0\n    ~^~\nZeroDivisionError: division by zero',
        })
      : { epoch: '1' },
  'CellService/ListCheckpoints': ({ tenant, name }) => ({ checkpoints: [checkpoint({ cell: { tenant, name } })] }),
  'CellService/Recv': () => ({ items: [{ post: { json: '{"rows": 18230}' } }, { post: { raw: base64('bytes') } }] }),
  'NodeService/ListNodes': () => ({ nodes: [node] }),
  'PolicyService/List': () => ({ versions: [versions()[0]!, { ...versions()[1], name: 'base' }] }),
  'PolicyService/Get': ({ name }) =>
    name === 'team/reader'
      ? { version: versions()[0] }
      : new Refusal('not_found', { kind: 'NotFound', message: `there is no policy ${name}` }),
  'PolicyService/History': () => ({ versions: versions() }),
  'PolicyService/Schema': () => ({ schema }),
  'PolicyService/Check': ({ text, base }) => {
    const line = (text ?? '').split('\n').findIndex((l) => l.includes('memm')) + 1
    if (line > 0) return { problems: [{ line, column: 5, message: 'there is no key "memm"', hint: 'did you mean "mem"?' }] }
    const changes = [
      { direction: 'gained', what: 'fs', text: 'write /srv/scraped/out' },
      { direction: 'gained', what: 'imports', text: 'xml' },
      { direction: 'lost', what: 'net', text: 'connect 9.9.9.9:53' },
      { direction: 'changed', what: 'mem', text: '256MiB → 64MiB' },
    ]
    return { sandboxes: ['web_scraper'], changes: base ? [{ sandbox: 'web_scraper', changes }] : [], number: base && '3' }
  },
  'PolicyService/Explain': ({ path }) =>
    path?.path?.startsWith('/srv/scraped')
      ? {
          allowed: true,
          rule: 'allow: /srv/scraped',
          line: 11,
          layer: "guest's gate and kernel",
          why: 'the rules about it give rw-',
        }
      : { allowed: false, layer: "guest's gate and kernel", why: 'no rule permits it' },
  'PolicyService/Put': (_, token) =>
    token === 'viewer'
      ? new Refusal('permission_denied', { kind: 'PolicyAuth', message: 'this needs the role policy-admin; me is viewer' })
      : new Refusal('aborted', { kind: 'Conflict', message: 'the newest version is 4, not 3' }),
}

const forever = new Promise<void>(() => {})

async function* hold<T>(items: T[]): AsyncGenerator<T> {
  yield* items
  await forever
}

export const streams: Streaming = {
  'CellService/Logs': () => hold(logs),
  'NodeService/Events': ({ kinds }) =>
    hold(events.filter((e) => !kinds?.length || kinds.includes(e.kind!)).map((event) => ({ event }))),
}
