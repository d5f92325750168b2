import { useEffect, useRef, useState } from 'preact/hooks'

import { textOf } from '../api/errors.ts'
import type { CellReport, MigrateResponse } from '../api/types.ts'
import { usePolled } from '../live.ts'
import { notify } from '../notices.ts'
import { percentOf, wordsOf, type Progress } from '../moves.ts'
import { call, stream } from '../session.ts'
import { Problem } from '../ui/bits.tsx'
import { Dialog, useOpen } from '../ui/dialog.tsx'

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
  const { cell: { tenant, name } = {}, id } = report
  const [error, setError] = useState<string>()
  const open = useOpen()
  const m = report.migration
  if (!m) return null
  const abort = () =>
    call('CellService/AbortMigration', { tenant, name, id }).catch((err: unknown) =>
      open.current ? setError(textOf(err)) : notify(`Abort the move of ${tenant}/${name}`, err),
    )
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

// MoveDialog moves the cell that it was opened for. Closing it while that goes on aborts the move, if that is still possible.
export function MoveDialog({ report, onClose, onDone }: MoveDialogProps) {
  const [{ cell: { tenant, name } = {}, id }] = useState(report)
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
      const request = { tenant, name, id, node: to }
      for await (const step of stream('CellService/Migrate', request, { signal: stop.current.signal })) {
        phase = step.phase
        setLast(step)
      }
      if (phase !== 'done') throw new Error('The node did not say how the move ended.')
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
  if (known && targets.length === 0) return <p>No other node can take the cell.</p>
  const submit = (e: Event) => {
    e.preventDefault()
    const to = chosen ?? targets[0]
    if (to) onMove(to)
  }
  return (
    <form id="move" onSubmit={submit}>
      <p>It continues there with its state and its id. Calls to it wait meanwhile. Closing this dialog aborts the move.</p>
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
