import { useState } from 'preact/hooks'

import { isKind } from '../api/errors.ts'
import type { Version } from '../api/types.ts'
import { usePolled } from '../live.ts'
import { href } from '../route.ts'
import { call } from '../session.ts'
import { Problem, Title } from '../ui/bits.tsx'
import { Edit } from './edit.tsx'
import { History } from './history.tsx'

const every = 4000 // milliseconds

interface PolicyProps {
  name: string
  tab: 'edit' | 'history'
}

// newest version of a policy; number 0 when there is none, or the newest is a deletion.
async function newest(name: string, signal?: AbortSignal): Promise<Version> {
  try {
    return (await call('PolicyService/Get', { name }, { signal })).version ?? {}
  } catch (err) {
    if (isKind(err, 'NotFound')) return { name, number: '0' }
    throw err
  }
}

export function Policy({ name, tab }: PolicyProps) {
  const [turn, setTurn] = useState(0)
  const asked = usePolled((signal) => newest(name, signal), 0, [name, turn])
  // What was stored from here, since it was asked for.
  const [stored, setStored] = useState<Version>()
  const opened = stored ?? asked.value
  const reload = () => {
    setStored(undefined)
    setTurn((n) => n + 1)
  }
  // Whether somebody else stores a version meanwhile.
  const latest = usePolled(
    (signal) =>
      call('PolicyService/History', { name, limit: 1 }, { signal })
        .then((h) => h.versions?.[0])
        .catch((err: unknown) => {
          if (isKind(err, 'NotFound')) return undefined
          throw err
        }),
    every,
    [name, turn],
  )
  return (
    <>
      <Title
        of={name}
        above={
          <p class="crumbs">
            <a href={href({ page: 'policies' })}>Policies</a>
          </p>
        }
      >
        <div class="segments" role="group" aria-label="Parts">
          <a href={href({ page: 'policy', name, tab: 'edit' })} aria-current={tab === 'edit' ? 'page' : undefined}>
            Document
          </a>
          <a href={href({ page: 'policy', name, tab: 'history' })} aria-current={tab === 'history' ? 'page' : undefined}>
            History
          </a>
        </div>
      </Title>
      <Problem text={asked.error}>
        <button type="button" onClick={asked.again}>
          Try again
        </button>
      </Problem>
      {tab === 'history' && <History name={name} latest={latest.value} onChanged={reload} />}
      {tab === 'edit' && opened && (
        <Edit
          key={turn}
          opened={opened}
          latest={latest.value}
          onReload={reload}
          onStored={setStored}
          newest={() => newest(name)}
        />
      )}
    </>
  )
}
