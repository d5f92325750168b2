import { useState } from 'preact/hooks'

import type { CellReport } from '../api/types.ts'
import { ago, bytes, count, duration, seconds } from '../format.ts'
import { useNow, usePolled } from '../live.ts'
import { stateOf } from '../moves.ts'
import { href } from '../route.ts'
import { call } from '../session.ts'
import { Problem, Title, Word } from '../ui/bits.tsx'
import { Filter, matches, Table, type Column } from '../ui/table.tsx'
import { EndDialog, endingsOf, endingWords, isFar, type Ending } from './ending.tsx'

const every = 1500 // milliseconds

export function Cells() {
  const cells = usePolled((signal) => call('CellService/List', {}, { signal }), every, [])
  const now = useNow()
  const [filter, setFilter] = useState('')
  const [ending, setEnding] = useState<{ report: CellReport; ending: Ending }>()
  const all = cells.value?.reports ?? []
  const rows = all.filter((r) =>
    matches(filter, r.cell?.tenant, r.cell?.name, stateOf(r), r.backend, policyName(r), placeOf(r), r.topics?.join(' ')),
  )
  return (
    <>
      <Title of="Cells">
        <Filter value={filter} onValue={setFilter} label="Filter by any word" />
      </Title>
      <Problem text={cells.error} />
      <Silent nodes={cells.value?.silent} />
      <p class="dim" role="status">
        {cells.value ? summary(all, rows.length) : 'Loading…'}
      </p>
      <Table
        label="Cells"
        rows={rows}
        columns={columns(now, severalNodes(all), (report, ending) => setEnding({ report, ending }))}
        keyOf={(r) => r.id ?? nameOf(r)}
        sorted={{ column: 'Cell' }}
        empty={
          !cells.value ? (
            ''
          ) : all.length > 0 ? (
            'No cell matches.'
          ) : (
            <>
              No cells. Start one with <code>pyisolate-node cell spawn</code>, or from your program.
            </>
          )
        }
      />
      {ending && <EndDialog {...ending} onClose={() => setEnding(undefined)} onDone={cells.again} />}
    </>
  )
}

const policyName = (r: CellReport) => r.policy?.ref?.name ?? ''
const nameOf = (r: CellReport) => `${r.cell?.tenant}/${r.cell?.name}`

// placeOf a cell is where it is, and where it goes.
const placeOf = (r: CellReport) => (r.migration?.to ? `${r.node} → ${r.migration.to}` : r.node)

const severalNodes = (all: CellReport[]) => new Set(all.map((r) => r.node)).size > 1

// Silent names nodes that did not answer.
function Silent({ nodes }: { nodes: string[] | undefined }) {
  if (!nodes?.length) return null
  return (
    <p class="note" role="status">
      {count(nodes.length, 'node')} did not answer: {nodes.join(', ')}. Of the cells there, only the names are known.
    </p>
  )
}

function summary(all: CellReport[], shown: number): string {
  const running = all.filter((r) => r.state === 'running').length
  const hidden = all.length - shown
  return `${count(all.length, 'cell')}, ${running} running${hidden > 0 ? `, ${hidden} hidden by the filter` : ''}`
}

function columns(now: number, nodes: boolean, end: (report: CellReport, ending: Ending) => void): Column<CellReport>[] {
  const node: Column<CellReport> = { name: 'Node', by: (r) => r.node ?? '', show: placeOf }
  return [
    {
      name: 'Cell',
      by: nameOf,
      show: (r) => (
        <a class="name" href={href({ page: 'cell', tenant: r.cell?.tenant ?? '', name: r.cell?.name ?? '' })}>
          <span class="dim">{r.cell?.tenant}/</span>
          {r.cell?.name}
        </a>
      ),
    },
    {
      name: 'State',
      by: stateOf,
      show: (r) => (
        <span title={r.reason}>
          <Word>{stateOf(r)}</Word>
          {r.busy && <span class="dim"> busy</span>}
        </span>
      ),
    },
    ...(nodes ? [node] : []),
    { name: 'Policy', by: policyName, show: (r) => !isFar(r) && <PolicyCell report={r} /> },
    { name: 'Backend', by: (r) => r.backend ?? '', show: (r) => r.backend },
    { name: 'CPU', number: true, by: (r) => seconds(r.cpu), show: (r) => !isFar(r) && duration(seconds(r.cpu)) },
    { name: 'Memory', number: true, by: (r) => Number(r.memory ?? 0), show: (r) => !isFar(r) && bytes(r.memory) },
    {
      name: 'Denials',
      number: true,
      by: (r) => Number(r.denials ?? 0),
      show: (r) => !isFar(r) && <span class={Number(r.denials ?? 0) > 0 ? 'bad-text' : 'dim'}>{r.denials ?? 0}</span>,
    },
    {
      name: 'Started',
      by: (r) => r.started ?? '',
      show: (r) => (
        <time dateTime={r.started} title={r.started}>
          {ago(r.started, now)}
        </time>
      ),
    },
    {
      name: '',
      show: (r) => (
        <span class="rowactions">
          {endingsOf(r)
            .filter((e) => e !== 'quarantine')
            .map((e) => (
              <button key={e} type="button" class="quiet" aria-label={`${endingWords[e]} ${nameOf(r)}`} onClick={() => end(r, e)}>
                {endingWords[e]}
              </button>
            ))}
        </span>
      ),
    },
  ]
}

function PolicyCell({ report }: { report: CellReport }) {
  const ref = report.policy?.ref
  if (!ref?.name) return <span class="dim">no stored policy</span>
  return (
    <>
      <a class="name" href={href({ page: 'policy', name: ref.name, tab: 'edit' })}>
        {ref.name}
      </a>
      <span class="dim"> v{report.policy?.version ?? '?'}</span>
      {report.policy?.problem && (
        <span title={report.policy.problem}>
          {' '}
          <Word>behind</Word>
        </span>
      )}
    </>
  )
}
