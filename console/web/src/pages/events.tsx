import { useState } from 'preact/hooks'

import type { CellRef, Event, EventsResponse } from '../api/types.ts'
import { clock, count, date, instant } from '../format.ts'
import { denialText, longest } from '../guest.ts'
import { useStream } from '../live.ts'
import { href } from '../route.ts'
import { stream } from '../session.ts'
import { Problem, StreamWord, Title, Word } from '../ui/bits.tsx'
import { useKept } from '../ui/kept.ts'
import { Filter, matches, Table, type Column } from '../ui/table.tsx'

// What is kept here: as many events as the node keeps, and so many characters.
const most = 4096
const room = 4 << 20

// Events, or denials alone, newest first, as they happen.
export function Events({ denials = false }: { denials?: boolean }) {
  const kept = useKept<Event>(most, room)
  const [lost, setLost] = useState(0)
  const [filter, setFilter] = useState('')
  const [kind, setKind] = useState('')
  const open = (signal: AbortSignal) =>
    stream('NodeService/Events', { follow: true, kinds: denials ? ['DENIED'] : [] }, { signal, longest })
  const take = (r: EventsResponse) => (r.event ? kept.push(r.event) : setLost((n) => n + Number(r.lost ?? 0)))
  const begin = () => {
    kept.clear()
    setLost(0)
  }
  const state = useStream(open, take, begin, [denials])
  const kinds = [...new Set([...kept.items.map((e) => e.kind ?? ''), ...(kind ? [kind] : [])])].sort()
  const [one, nothing] = denials
    ? ['denial', 'Nothing was denied. Denials appear here, with the rule and the layer that refused.']
    : ['event', 'Nothing has happened yet.']
  const rows = kept.items.filter(
    (e) =>
      (!kind || e.kind === kind) &&
      matches(filter, e.kind, e.node, nameOf(e.cell), e.message, e.policy, e.denial && denialText(e.denial), evidenceOf(e)),
  )
  return (
    <>
      <Title of={denials ? 'Denials' : 'Events'}>
        <StreamWord {...state} />
        {!denials && (
          <select aria-label="Kind of event" value={kind} onChange={(e) => setKind(e.currentTarget.value)}>
            <option value="">All kinds</option>
            {kinds.map((k) => (
              <option key={k} value={k}>
                {k.toLowerCase().replaceAll('_', ' ')}
              </option>
            ))}
          </select>
        )}
        <Filter value={filter} onValue={setFilter} label="Filter by any word" />
      </Title>
      {lost > 0 && <Problem text={`${count(lost, 'event')} came faster than this page took them, and are missing.`} />}
      <p class="dim" role="status">
        {count(rows.length, one)}
      </p>
      <Table
        label={denials ? 'Denials' : 'Events'}
        rows={rows}
        columns={denials ? denialColumns : eventColumns}
        keyOf={(e) => `${e.node} ${e.index} ${e.at}`} // each node counts its own; what is said of a silent one has no number
        sorted={{ column: 'Time', down: true }}
        empty={kept.items.length > 0 ? `No ${one} matches.` : state.state === 'live' ? nothing : ''}
      />
    </>
  )
}

const nameOf = (cell: CellRef | undefined) => (cell ? `${cell.tenant}/${cell.name}` : '')

const evidenceOf = ({ denial }: Event) => [denial?.kernel, denial?.broker].filter(Boolean).join(' · ')

const time: Column<Event> = {
  name: 'Time',
  by: (e) => instant(e.at), // events of several nodes are in no other order
  show: (e) => (
    <time dateTime={e.at} title={date(e.at)}>
      {clock(e.at)}
    </time>
  ),
}

const cell: Column<Event> = {
  name: 'Cell',
  by: (e) => nameOf(e.cell),
  show: (e) =>
    e.cell && (
      <a class="name" href={href({ page: 'cell', tenant: e.cell.tenant ?? '', name: e.cell.name ?? '' })}>
        {nameOf(e.cell)}
      </a>
    ),
}

const node: Column<Event> = {
  name: 'Node',
  by: (e) => e.node ?? '',
  show: (e) => e.node,
}

const eventColumns: Column<Event>[] = [
  time,
  node,
  { name: 'Kind', by: (e) => e.kind ?? '', show: (e) => <Word>{e.kind}</Word> },
  cell,
  {
    name: 'Policy',
    by: (e) => e.policy ?? '',
    show: (e) =>
      e.policy && (
        <>
          <a class="name" href={href({ page: 'policy', name: e.policy, tab: 'history' })}>
            {e.policy}
          </a>
          <span class="dim"> v{e.version}</span>
        </>
      ),
  },
  { name: 'Details', show: (e) => <span class="wrap">{e.denial ? denialText(e.denial) : e.message}</span> },
]

const denialColumns: Column<Event>[] = [
  time,
  node,
  cell,
  { name: 'Capability', by: (e) => e.denial?.capability ?? '', show: (e) => <code>{e.denial?.capability}</code> },
  {
    name: 'Action',
    by: (e) => e.denial?.action ?? '',
    show: (e) => <span class="wrap">{e.denial?.action ?? e.message}</span>,
  },
  { name: 'Rule', by: (e) => e.denial?.rule ?? '', show: (e) => <span class="wrap">{e.denial?.rule}</span> },
  {
    name: 'Evidence',
    show: (e) => <span class="wrap dim">{evidenceOf(e)}</span>,
  },
]
