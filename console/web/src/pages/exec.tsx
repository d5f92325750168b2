import { useEffect, useRef, useState } from 'preact/hooks'

import { CallError, textOf } from '../api/errors.ts'
import type { ErrorDetail } from '../api/types.ts'
import { duration } from '../format.ts'
import { call } from '../session.ts'

interface ExecProps {
  tenant: string
  name: string
  id: string | undefined // of the cell that it is for; unknown: nothing is run
  onRan: () => void
}

type Outcome = { ran: number } | { failed: ErrorDetail; text: string } | undefined

// Exec runs code in the cell. What it prints is among the output, what it posts is not taken.
export function Exec({ tenant, name, id, onRan }: ExecProps) {
  const [code, setCode] = useState('')
  const [outcome, setOutcome] = useState<Outcome>()
  const [running, setRunning] = useState(false)
  const stop = useRef<AbortController>(undefined)
  useEffect(() => () => stop.current?.abort(), []) // interrupts the guest
  const idle = running || id === undefined || code.trim() === ''
  const run = async () => {
    if (idle) return
    const aborted = (stop.current = new AbortController()).signal
    setRunning(true)
    setOutcome(undefined)
    const began = performance.now()
    try {
      await call('CellService/Exec', { tenant, name, id, code }, { signal: aborted })
      setOutcome({ ran: (performance.now() - began) / 1000 })
    } catch (err) {
      setOutcome(
        aborted.aborted
          ? { failed: { kind: 'Cancelled' }, text: 'you stopped it' }
          : { failed: err instanceof CallError ? err.detail : {}, text: textOf(err) },
      )
    }
    setRunning(false)
    onRan()
  }
  const onKeyDown = (e: KeyboardEvent) => {
    if (e.key !== 'Enter' || !(e.ctrlKey || e.metaKey)) return
    e.preventDefault()
    void run()
  }
  return (
    <section class="card">
      <form
        onSubmit={(e) => {
          e.preventDefault()
          void run()
        }}
      >
        <div class="cardhead">
          <h2>
            <label for="code">Run Python</label>
          </h2>
          <span class="buttons">
            <span class="dim small" id="code-help">
              Ctrl+Enter runs it
            </span>
            {running && (
              <button type="button" onClick={() => stop.current?.abort()}>
                Stop
              </button>
            )}
            <button class="primary" disabled={idle}>
              {running ? 'Running…' : 'Run'}
            </button>
          </span>
        </div>
        <textarea
          id="code"
          class="code"
          rows={Math.min(16, Math.max(3, code.split('\n').length))}
          spellcheck={false}
          autocomplete="off"
          autocapitalize="off"
          aria-describedby="code-help"
          placeholder="print(1 + 1)"
          value={code}
          onInput={(e) => setCode(e.currentTarget.value)}
          onKeyDown={onKeyDown}
        />
      </form>
      <div role="status">{outcome && <Shown outcome={outcome} />}</div>
    </section>
  )
}

function Shown({ outcome }: { outcome: NonNullable<Outcome> }) {
  if ('ran' in outcome) return <p class="ran good-text">Finished in {duration(outcome.ran)}.</p>
  const { kind, type, traceback } = outcome.failed
  return (
    <div class="ran">
      <p class="bad-text">
        <strong>{type && kind === 'GuestError' ? type : kind}</strong> {outcome.text}
      </p>
      {traceback && (
        <pre class="traceback" tabIndex={0}>
          <code>{traceback}</code>
        </pre>
      )}
    </div>
  )
}
