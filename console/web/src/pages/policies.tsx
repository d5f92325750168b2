import { useState } from 'preact/hooks'

import type { Version } from '../api/types.ts'
import { ago, count, date, hex } from '../format.ts'
import { useNow, usePolled } from '../live.ts'
import { go, href } from '../route.ts'
import { call } from '../session.ts'
import { Problem, Title } from '../ui/bits.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { Filter, matches, Table, type Column } from '../ui/table.tsx'

const every = 3000 // milliseconds

// list asks until it has them all.
async function list(signal: AbortSignal): Promise<Version[]> {
  const all: Version[] = []
  for (;;) {
    const { versions = [], more } = await call('PolicyService/List', { after: all.at(-1)?.name ?? '' }, { signal })
    all.push(...versions)
    if (!more || versions.length === 0) return all
  }
}

export function Policies() {
  const policies = usePolled(list, every, [])
  const now = useNow(10_000)
  const [filter, setFilter] = useState('')
  const [making, setMaking] = useState(false)
  const all = policies.value ?? []
  const rows = all.filter((v) => matches(filter, v.name, v.author, v.comment, v.source))
  return (
    <>
      <Title of="Policies">
        <Filter value={filter} onValue={setFilter} label="Filter by any word" />
        <button type="button" class="primary" onClick={() => setMaking(true)}>
          New policy
        </button>
      </Title>
      <Problem text={policies.error} />
      <p class="dim" role="status">
        {policies.value ? count(all.length, 'policy', 'policies') : 'Loading…'}
      </p>
      <Table
        label="Policies"
        rows={rows}
        columns={columns(now)}
        keyOf={(v) => v.name ?? ''}
        sorted={{ column: 'Name' }}
        empty={!policies.value ? '' : all.length > 0 ? 'No policy matches.' : 'No policies yet.'}
      />
      {making && <NewPolicy known={all} onClose={() => setMaking(false)} />}
    </>
  )
}

const columns = (now: number): Column<Version>[] => [
  {
    name: 'Name',
    by: (v) => v.name ?? '',
    show: (v) => (
      <a class="name" href={href({ page: 'policy', name: v.name ?? '', tab: 'edit' })}>
        {v.name}
      </a>
    ),
  },
  {
    name: 'Version',
    number: true,
    by: (v) => Number(v.number ?? 0),
    show: (v) => <a href={href({ page: 'policy', name: v.name ?? '', tab: 'history' })}>{v.number}</a>,
  },
  {
    name: 'Stored',
    by: (v) => v.time ?? '',
    show: (v) => (
      <time dateTime={v.time} title={date(v.time)}>
        {ago(v.time, now)}
      </time>
    ),
  },
  { name: 'By', by: (v) => v.author ?? '', show: (v) => v.author },
  {
    name: 'Comment',
    show: (v) => (
      <span class="wrap">
        {v.comment}
        {v.source && <span class="dim"> {v.source}</span>}
      </span>
    ),
  },
  {
    name: 'Hash',
    show: (v) => (
      <code class="dim" title={hex(v.hash)}>
        {hex(v.hash).slice(0, 12)}
      </code>
    ),
  },
]

const nameForm = '[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}(/[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}){0,3}'

function NewPolicy({ known, onClose }: { known: Version[]; onClose: () => void }) {
  const [name, setName] = useState('')
  const taken = known.some((v) => v.name === name)
  const submit = (e: Event) => {
    e.preventDefault()
    if (!taken) go({ page: 'policy', name, tab: 'edit' })
  }
  return (
    <Dialog title="New policy" onClose={onClose}>
      <form onSubmit={submit}>
        <label class="field">
          Name
          <input
            value={name}
            required
            pattern={nameForm}
            title="Parts begin with a letter or a digit; then also . _ -"
            autocomplete="off"
            spellcheck={false}
            aria-describedby="name-help"
            onInput={(e) => setName(e.currentTarget.value)}
          />
        </label>
        <p id="name-help" class="dim small">
          One to four parts with slashes between them, as in <code>team/reader</code>. If there are several, the first is the
          tenant. Nothing is stored until you save.
        </p>
        <Problem text={taken ? 'A policy with this name already exists.' : undefined} />
        <div class="buttons">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button class="primary" disabled={taken}>
            Open the editor
          </button>
        </div>
      </form>
    </Dialog>
  )
}
