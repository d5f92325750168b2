import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'

import type { StreamState } from '../live.ts'

// Words of the API that are good or bad news; the rest is neither.
const tones: Record<string, string> = {
  running: 'good',
  ready: 'good',
  live: 'good',
  active: 'good',
  starting: 'busy',
  restarting: 'busy',
  connecting: 'busy',
  draining: 'busy',
  paused: 'busy',
  moving: 'busy',
  quarantined: 'warn',
  unavailable: 'warn',
  unknown: 'warn',
  suspended: 'warn',
  silent: 'warn',
  stale: 'warn',
  CPU_THROTTLE: 'warn',
  CELL_QUARANTINED: 'warn',
  CHECKPOINT_FAILED: 'warn',
  MIGRATION_FAILED: 'warn',
  POLICY_REFUSED: 'warn',
  crashed: 'bad',
  killed: 'bad',
  lost: 'bad',
  gone: 'warn',
  failed: 'bad',
  DENIED: 'bad',
  CELL_CRASHED: 'bad',
  MEM_KILL: 'bad',
  CPU_KILL: 'bad',
  WALL_KILL: 'bad',
  OUTPUT_KILL: 'bad',
  BROKER_ERROR: 'bad',
}

// Word is a state, told apart by its text and not by its colour alone.
export function Word({ children }: { children: string | undefined }) {
  const text = children ?? ''
  return <span class={`word ${tones[text] ?? 'plain'}`}>{text.toLowerCase().replaceAll('_', ' ')}</span>
}

export function StreamWord({ state, error }: { state: StreamState; error?: string }) {
  return (
    <span class="streamword" role="status">
      <Word>{state}</Word>
      {error && <span class="dim">{error}</span>}
    </span>
  )
}

export function Problem({ text, children }: { text: string | undefined; children?: ComponentChildren }) {
  if (!text) return null
  return (
    <div class="problem" role="alert">
      <p>{text}</p>
      {children}
    </div>
  )
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>
}

export function Facts({ of }: { of: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {of
        .filter(([, value]) => value !== undefined && value !== '' && value !== null && value !== false)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  )
}

// Title is the page's heading, which is focused when the page comes, so that who hears the
// page hears where he is.
export function Title({ of, children, above }: { of: string; children?: ComponentChildren; above?: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    document.title = `${of} · PyIsolate`
    heading.current?.focus({ preventScroll: true })
  }, [of])
  return (
    <header class="title">
      <div>
        {above}
        <h1 tabIndex={-1} ref={heading}>
          {of}
        </h1>
      </div>
      <div class="actions">{children}</div>
    </header>
  )
}
