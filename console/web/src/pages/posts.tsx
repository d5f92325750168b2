import { useRef, useState } from 'preact/hooks'

import { isKind } from '../api/errors.ts'
import type { Item } from '../api/types.ts'
import { count } from '../format.ts'
import { shownItem } from '../guest.ts'
import { call } from '../session.ts'
import { Confirm } from '../ui/dialog.tsx'

const most = 100 // that are taken at once

interface PostsProps {
  tenant: string
  name: string
  waiting: string | undefined // how many it has posted in all
}

// Posts are taken once, so they are taken only when somebody says so.
export function Posts({ tenant, name, waiting }: PostsProps) {
  const [items, setItems] = useState<{ key: number; item: Item }[]>([])
  const [asking, setAsking] = useState(false)
  const [taken, setTaken] = useState('')
  const key = useRef(0)
  const take = async () => {
    const answer = await call('CellService/Recv', { tenant, name, max: most, wait: '0s' }).catch((err: unknown) => {
      if (isKind(err, 'Timeout', 'CellGone')) return { items: [] } // there is nothing
      throw err
    })
    const got = answer.items ?? []
    setTaken(got.length === 0 ? 'There was nothing to take.' : `${count(got.length, 'item')} taken.`)
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
        <button type="button" onClick={() => setAsking(true)}>
          Take posts…
        </button>
      </div>
      {items.length > 0 && (
        <ol class="posts">
          {items.map(({ key, item }) => (
            <li key={key}>
              <code>{shownItem(item)}</code>
            </li>
          ))}
        </ol>
      )}
      {asking && (
        <Confirm title="Take what it has posted?" yes="Take them" onClose={() => setAsking(false)} act={take}>
          <p>
            A post is delivered once. What you take here, the program that waits for it will not get; up to {most} items are
            taken.
          </p>
        </Confirm>
      )}
    </section>
  )
}
