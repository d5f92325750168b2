import { useMemo, useRef, useState } from 'preact/hooks'

import { isKind } from '../api/errors.ts'
import type { Item } from '../api/types.ts'
import { shortened } from '../api/visible.ts'
import { count } from '../format.ts'
import { longest, shownItem } from '../guest.ts'
import { call } from '../session.ts'
import { Confirm } from '../ui/dialog.tsx'

const most = 100 // that are taken at once

interface PostsProps {
  tenant: string
  name: string
  id: string | undefined // of the cell that has the name now
  waiting: string | undefined // how many it has posted in all
}

// Taken is an item that was taken. Nobody else has it now, so all of a long one can be shown.
function Taken({ item }: { item: Item }) {
  const [whole, setWhole] = useState(false)
  const text = useMemo(() => shownItem(item), [item])
  const shown = useMemo(() => (whole ? text : shortened(text, longest)), [text, whole])
  return (
    <li>
      <code>{shown}</code>{' '}
      {shown !== text && (
        <button type="button" class="link" onClick={() => setWhole(true)}>
          Show it all
        </button>
      )}
    </li>
  )
}

// Posts are taken once, so they are taken only when somebody says so.
export function Posts({ tenant, name, id, waiting }: PostsProps) {
  const [items, setItems] = useState<{ key: number; item: Item }[]>([])
  const [asking, setAsking] = useState<{ of: string }>()
  const [taken, setTaken] = useState('')
  const key = useRef(0)
  const take = async (of: string) => {
    let nothing = 'There are no posts to take.'
    const request = { tenant, name, id: of, max: most, wait: '0s' }
    const answer = await call('CellService/Recv', request).catch((err: unknown) => {
      if (!isKind(err, 'Timeout', 'CellGone')) throw err
      if (err.kind === 'CellGone') nothing = err.text
      return { items: [] }
    })
    const got = answer.items ?? []
    setTaken(got.length === 0 ? nothing : `${count(got.length, 'item')} taken.`)
    setItems((old) => [...old, ...got.map((item) => ({ key: key.current++, item }))].slice(-1000))
  }
  return (
    <section class="card">
      <div class="cardhead">
        <h2>Posts</h2>
        <span class="dim small">{waiting ?? '0'} posted in all</span>
        <span role="status" class="dim small">
          {taken}
        </span>
        <button type="button" disabled={id === undefined} onClick={() => id !== undefined && setAsking({ of: id })}>
          Take posts…
        </button>
      </div>
      {items.length > 0 && (
        <ol class="posts">
          {items.map(({ key, item }) => (
            <Taken key={key} item={item} />
          ))}
        </ol>
      )}
      {asking && (
        <Confirm
          title="Take its posts?"
          what={`Take posts of ${tenant}/${name}`}
          yes="Take them"
          onClose={() => setAsking(undefined)}
          act={() => take(asking.of)}
        >
          <p>
            Each post is delivered once: a program that waits for what you take does not get it. This takes up to {most} items.
          </p>
        </Confirm>
      )}
    </section>
  )
}
