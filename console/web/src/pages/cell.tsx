import { useState } from 'preact/hooks'

import type { CellReport, PolicyState } from '../api/types.ts'
import { ago, bytes, count, date, duration, hex, seconds } from '../format.ts'
import { useNow, usePolled } from '../live.ts'
import { stateOf } from '../moves.ts'
import { href } from '../route.ts'
import { call } from '../session.ts'
import { Facts, Problem, Title, Word } from '../ui/bits.tsx'
import { Layers } from '../ui/layers.tsx'
import { Checkpoints } from './checkpoints.tsx'
import { Exec } from './exec.tsx'
import { EndDialog, endingsOf, endingWords, type Ending } from './ending.tsx'
import { MoveDialog, Moving } from './move.tsx'
import { Output } from './output.tsx'
import { Posts } from './posts.tsx'

const every = 1000 // milliseconds

interface CellProps {
  tenant: string
  name: string
}

export function Cell({ tenant, name }: CellProps) {
  const report = usePolled((signal) => call('CellService/Inspect', { tenant, name }, { signal }), every, [tenant, name])
  const [ending, setEnding] = useState<Ending>()
  const [moving, setMoving] = useState(false)
  const r = report.value?.report
  const [opened, setOpened] = useState<string>() // the cell that code is meant for
  if (opened === undefined && r?.id) setOpened(r.id)
  const there = report.kind === 'NotFound' ? undefined : r // else it is what was last known
  return (
    <>
      <Title
        of={name}
        above={
          <p class="crumbs">
            <a href={href({ page: 'cells' })}>Cells</a> / {tenant}
          </p>
        }
      >
        {r && <Word>{there ? stateOf(r) : 'gone'}</Word>}
        {there?.state === 'running' && !there.migration && (
          <button type="button" onClick={() => setMoving(true)}>
            Move…
          </button>
        )}
        {there &&
          endingsOf(there).map((e) => (
            <button key={e} type="button" class={e === 'kill' ? 'danger' : ''} onClick={() => setEnding(e)}>
              {endingWords[e]}
            </button>
          ))}
      </Title>
      <Problem text={report.error} />
      {r && opened !== undefined && r.id !== opened && (
        <div class="note" role="status">
          The cell that you opened has ended, and another has its name now. Code is not run in the new one unless you say so.{' '}
          <button type="button" onClick={() => setOpened(r.id)}>
            Use the new cell
          </button>
        </div>
      )}
      {r?.reason && r.state !== 'running' && (
        <p class="note">
          <strong>Why it is {r.state}:</strong> {r.reason}
        </p>
      )}
      {there && !moving && <Moving report={there} />}
      <div class="columns">
        <div class="main">
          <Exec tenant={tenant} name={name} id={opened} onRan={report.again} />
          {r && <Output tenant={tenant} name={name} id={r.id} epoch={r.epoch} />}
          <Posts tenant={tenant} name={name} id={r?.id} waiting={r?.posts} />
        </div>
        <div class="side">{r && <Report r={r} />}</div>
      </div>
      <Checkpoints tenant={tenant} name={name} report={report.error ? undefined : r} />
      {r && (
        <section class="card">
          <h2>Confinement</h2>
          <Unheld unheld={r.unheld} />
          <Layers layers={r.layers} empty="The node reports no kernel layers for this cell." />
        </section>
      )}
      {r && moving && <MoveDialog report={r} onClose={() => setMoving(false)} onDone={report.again} />}
      {r && ending && <EndDialog report={r} ending={ending} onClose={() => setEnding(undefined)} onDone={report.again} />}
    </>
  )
}

function Report({ r }: { r: CellReport }) {
  const now = useNow()
  const limits = r.limits
  return (
    <>
      <section class="card">
        <h2>Report</h2>
        <Facts
          of={[
            ['Backend', r.backend],
            [
              'Started',
              r.started && (
                <time dateTime={r.started} title={date(r.started)}>
                  {ago(r.started, now)}
                </time>
              ),
            ],
            ['Incarnation', r.epoch && `${r.epoch}${r.restarts ? `, ${count(r.restarts, 'restart')}` : ''}`],
            ['CPU', of(duration(seconds(r.cpu)), limits?.cpu && duration(seconds(limits.cpu)))],
            ['Memory', of(bytes(r.memory), limits?.memory && bytes(limits.memory))],
            ['Peak memory', bytes(r.memoryPeak)],
            ['Output', of(bytes(r.output), limits?.output && bytes(limits.output))],
            ['Wall time', limits?.wall && `${duration(seconds(limits.wall))} per operation`],
            ['Posts', r.posts ?? '0'],
            ['Logs', r.logs ?? '0'],
            ['Denials', r.denials ?? '0'],
            ['Topics', r.topics?.join(', ')],
            ['Node', r.node],
            ['Id', r.id && <code>{r.id}</code>],
          ]}
        />
      </section>
      <section class="card">
        <h2>Policy</h2>
        <PolicyFacts p={r.policy} />
      </section>
    </>
  )
}

const of = (value: string, most: string | undefined) => (most ? `${value} of ${most}` : value)

function PolicyFacts({ p }: { p: PolicyState | undefined }) {
  if (!p) return <p class="dim">None. The cell can compute, and import the modules that it was started with.</p>
  const name = p.ref?.name
  return (
    <>
      {p.problem && <Problem text={`Version ${p.newest} is not in force: ${p.problem}`} />}
      {p.deleted && <p class="note">The policy was deleted; the cell keeps the last version.</p>}
      <Facts
        of={[
          ['Name', name ? <a href={href({ page: 'policy', name, tab: 'edit' })}>{name}</a> : 'no stored policy'],
          ['Sandbox', p.ref?.sandbox],
          ['Version', p.version && of(p.version, p.newest)],
          ['Follows', p.ref?.version && p.ref.version !== '0' ? 'this version only' : name && 'each new version'],
          ['Enforced by', p.layers?.join(', ')],
          ['Needs a new cell', p.needsNewCell?.join(', ')],
          ['Wants backend', p.wantsBackend],
          ['Unresolved hosts', p.unresolved?.join(', ')],
          ['Hash', p.hash && <code title={hex(p.hash)}>{hex(p.hash).slice(0, 12)}</code>],
        ]}
      />
    </>
  )
}

function Unheld({ unheld }: { unheld: string[] | undefined }) {
  if (!unheld?.length) return null
  return (
    <div class="note">
      <strong>No kernel layer enforces:</strong>
      <ul>
        {unheld.map((what) => (
          <li key={what}>{what}</li>
        ))}
      </ul>
    </div>
  )
}
