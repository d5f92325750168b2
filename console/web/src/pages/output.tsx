import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'

import type { LogsResponse } from '../api/types.ts'
import { clock } from '../format.ts'
import { denialText, longest, metricName } from '../guest.ts'
import { useStream } from '../live.ts'
import { stream } from '../session.ts'
import { StreamWord } from '../ui/bits.tsx'
import { useKept } from '../ui/kept.ts'
import { Metrics } from './metrics.tsx'

// What is kept here: so many lines, and so many characters.
const most = 1000
const room = 1 << 20

export type Line = LogsResponse & { key: number; came: string }

const views = { all: 'All', logs: 'Logs', denials: 'Denials', metrics: 'Metrics' } as const
type View = keyof typeof views

const belongs: Record<View, (l: Line) => boolean> = {
  all: () => true,
  logs: (l) => Boolean(l.log ?? l.lost),
  denials: (l) => Boolean(l.denial ?? l.lost),
  metrics: (l) => Boolean(l.metric),
}

interface OutputProps {
  tenant: string
  name: string
  id: string | undefined // of the cell that has the name now
  epoch: string | undefined // of the incarnation
}

// Output is all that a cell says beside its posts, as it comes.
export function Output({ tenant, name, id, epoch }: OutputProps) {
  const kept = useKept<Line>(most, room)
  const [view, setView] = useState<View>('all')
  const key = useRef(0)
  const open = (signal: AbortSignal) => stream('CellService/Logs', { tenant, name, follow: true }, { signal, longest })
  const take = (item: LogsResponse) => kept.push({ ...item, key: key.current++, came: new Date().toISOString() })
  // A cell that was started again, or another one under its name, says things of its own.
  const state = useStream(open, take, kept.clear, [tenant, name, id, epoch])
  const shown = kept.items.filter(belongs[view])
  return (
    <section class="card">
      <div class="cardhead">
        <h2>Output</h2>
        <StreamWord {...state} />
        <div class="segments" role="group" aria-label="Which output">
          {(Object.keys(views) as View[]).map((v) => (
            <button key={v} type="button" aria-pressed={view === v} onClick={() => setView(v)}>
              {views[v]}
            </button>
          ))}
        </div>
      </div>
      {view === 'metrics' ? <Metrics lines={shown} /> : <Lines lines={shown} />}
    </section>
  )
}

function Lines({ lines }: { lines: Line[] }) {
  const box = useRef<HTMLDivElement>(null)
  const follows = useRef(true)
  useLayoutEffect(() => {
    if (follows.current && box.current) box.current.scrollTop = box.current.scrollHeight
  }, [lines.length, lines.at(-1)?.key])
  useEffect(() => {
    const el = box.current
    const scrolled = () => el && (follows.current = el.scrollHeight - el.scrollTop - el.clientHeight < 24)
    el?.addEventListener('scroll', scrolled, { passive: true })
    return () => el?.removeEventListener('scroll', scrolled)
  }, [])
  return (
    <div class="log" role="log" aria-label="Output" tabIndex={0} ref={box}>
      {lines.length === 0 && <p class="empty">Nothing yet. What the cell prints, logs, measures and is denied appears here.</p>}
      {lines.map((l) => (
        <Row key={l.key} line={l} />
      ))}
    </div>
  )
}

function Row({ line: l }: { line: Line }) {
  if (l.log)
    return (
      <Entry at={l.log.at} word={l.log.level ?? ''} tone={toneOf(l.log.level)}>
        {l.log.message?.replace(/\n$/, '')}
        {l.log.fields && <span class="dim"> {l.log.fields}</span>}
      </Entry>
    )
  if (l.denial)
    return (
      <Entry at={l.denial.at} word="denied" tone="bad">
        {denialText(l.denial)}
      </Entry>
    )
  if (l.metric)
    return (
      <Entry at={l.metric.at} word="metric" tone="plain">
        {metricName(l.metric)} = {l.metric.value ?? 0}
      </Entry>
    )
  return (
    <Entry at={l.came} word="lost" tone="warn">
      {l.lost} lines are missing here
    </Entry>
  )
}

interface EntryProps {
  at: string | undefined
  word: string
  tone: string
  children: preact.ComponentChildren
}

function Entry({ at, word, tone, children }: EntryProps) {
  return (
    <div class={`entry ${tone}`}>
      <time dateTime={at}>{clock(at)}</time>
      <span class="level">{word}</span>
      <span class="message">{children}</span>
    </div>
  )
}

function toneOf(level: string | undefined): string {
  if (level === 'stderr' || level === 'error' || level === 'critical') return 'bad'
  return level === 'warning' ? 'warn' : 'plain'
}
