import { useEffect, useRef, useState } from 'preact/hooks'

import { textOf } from '../api/errors.ts'
import type { CellReport, MigrateResponse } from '../api/types.ts'
import { bytes, duration, seconds } from '../format.ts'
import { usePolled } from '../live.ts'
import { call, stream } from '../session.ts'
import { Problem } from '../ui/bits.tsx'
import { Dialog } from '../ui/dialog.tsx'

// Steps of a move in their order, in words of people, and how much of it is done when each begins.
const steps: Record<string, { words: string; from: number; to: number }> = {
  prepare: { words: 'The target is asked', from: 0, to: 10 },
  freeze: { words: 'Its state is taken', from: 10, to: 20 },
  copy: { words: 'Its state is copied', from: 20, to: 80 },
  activate: { words: 'The target takes it over', from: 80, to: 90 },
  collect: { words: 'What has waited goes after it', from: 90, to: 100 },
  done: { words: 'It has moved', from: 100, to: 100 },
  abort: { words: 'It stays', from: 0, to: 0 },
}

interface Progress {
  phase?: string
  copied?: string
  size?: string
  paused?: string
}

// percentOf a move is done: while its state is copied by that, else by the step.
export function percentOf({ phase, copied, size }: Progress): number {
  const step = steps[phase ?? ''] ?? { from: 0, to: 0 }
  const whole = Number(size ?? 0)
  if (phase !== 'copy' || !(whole > 0)) return step.from
  return step.from + (step.to - step.from) * Math.min(1, Number(copied ?? 0) / whole)
}

// wordsOf a move: what is being done, how much of the state is copied, and how long the cell has paused.
export function wordsOf({ phase, copied, size, paused }: Progress): string {
  const said = [steps[phase ?? '']?.words ?? phase ?? '']
  if (Number(size ?? 0) > 0) said.push(`${bytes(copied)} of ${bytes(size)}`)
  if (seconds(paused) > 0) said.push(`paused ${duration(seconds(paused))}`)
  return said.join(', ')
}

// MoveBar is how far a move is, for eyes and for ears.
function MoveBar({ of, label }: { of: Progress; label: string }) {
  const percent = percentOf(of)
  return (
    <div class="move">
      <progress max={100} value={percent} aria-label={label} aria-valuetext={wordsOf(of)} />
      <span role="status">{wordsOf(of)}</span>
    </div>
  )
}

// Moving shows a move that is under way, whoever has begun it.
export function Moving({ report }: { report: CellReport }) {
  const { tenant, name } = report.cell ?? {}
  const [error, setError] = useState<string>()
  const m = report.migration
  if (!m) return null
  const abort = () => call('CellService/AbortMigration', { tenant, name }).catch((err: unknown) => setError(textOf(err)))
  return (
    <section class="card">
      <div class="cardhead">
        <h2>Moving to {m.to}</h2>
        <button type="button" onClick={() => void abort()}>
          Abort the move
        </button>
      </div>
      <MoveBar of={m} label={`Move to ${m.to}`} />
      <Problem text={error} />
    </section>
  )
}

interface MoveDialogProps {
  report: CellReport
  onClose: () => void
  onDone: () => void
}

type Stage = { at: 'asking' } | { at: 'moving'; to: string } | { at: 'over'; to: string; error?: string }

// MoveDialog moves a cell. Closing it while that goes on aborts the move, if that is still possible.
export function MoveDialog({ report, onClose, onDone }: MoveDialogProps) {
  const { tenant, name } = report.cell ?? {}
  const nodes = usePolled((signal) => call('NodeService/ListNodes', {}, { signal }), 0, [])
  const [stage, setStage] = useState<Stage>({ at: 'asking' })
  const [last, setLast] = useState<MigrateResponse>({})
  const stop = useRef(new AbortController())
  useEffect(() => () => stop.current.abort(), [])
  const targets = (nodes.value?.nodes ?? []).filter((n) => n.id !== report.node && n.state === 'ready').map((n) => n.id ?? '')
  const move = async (to: string) => {
    setStage({ at: 'moving', to })
    let phase: string | undefined
    try {
      const request = { tenant, name, id: report.id, node: to }
      for await (const step of stream('CellService/Migrate', request, { signal: stop.current.signal })) {
        phase = step.phase
        setLast(step)
      }
      if (phase !== 'done') throw new Error('The node said nothing of the end of the move.')
      setStage({ at: 'over', to })
    } catch (err) {
      if (!stop.current.signal.aborted) setStage({ at: 'over', to, error: textOf(err) })
    }
    onDone()
  }
  return (
    <Dialog title={`Move ${tenant}/${name}`} onClose={onClose}>
      <Problem text={nodes.error} />
      {stage.at === 'asking' && <Ask targets={targets} known={!!nodes.value} onMove={move} />}
      {stage.at !== 'asking' && <MoveBar of={last} label={`Move to ${stage.to}`} />}
      {stage.at === 'over' && <Problem text={stage.error} />}
      <div class="buttons">
        <button type="button" onClick={onClose}>
          {stage.at === 'asking' ? 'Cancel' : stage.at === 'moving' ? 'Abort' : 'Close'}
        </button>
        {stage.at === 'asking' && targets.length > 0 && (
          <button class="primary" form="move">
            Move it
          </button>
        )}
      </div>
    </Dialog>
  )
}

function Ask({ targets, known, onMove }: { targets: string[]; known: boolean; onMove: (to: string) => void }) {
  const [chosen, setChosen] = useState<string>()
  if (known && targets.length === 0) return <p>There is no other node that takes cells.</p>
  const submit = (e: Event) => {
    e.preventDefault()
    const to = chosen ?? targets[0]
    if (to) onMove(to)
  }
  return (
    <form id="move" onSubmit={submit}>
      <p>It goes on there with its state and its id. What is asked of it meanwhile waits. Closing this aborts the move.</p>
      <label class="field">
        Node
        <select value={chosen ?? targets[0]} onChange={(e) => setChosen(e.currentTarget.value)}>
          {targets.map((id) => (
            <option key={id}>{id}</option>
          ))}
        </select>
      </label>
    </form>
  )
}
