import { useEffect, useState } from 'preact/hooks'

import { isKind, textOf } from '../api/errors.ts'
import type { CheckResponse } from '../api/types.ts'
import { call } from '../session.ts'
import { Authority } from '../ui/authority.tsx'
import { Problem } from '../ui/bits.tsx'

// Comparison of a text with what cells have of a policy.
export interface Comparison {
  check?: CheckResponse
  kept?: string // number of the version that it is compared with because the newest is a deletion
  error?: string
}

// useCompared compares with the version of a number. "0" is for a policy that is not there: if it
// was deleted, the last version before that counts.
export function useCompared(name: string, number: string, text: string | undefined): Comparison {
  const [compared, setCompared] = useState<Comparison>({})
  useEffect(() => {
    setCompared({})
    if (text === undefined) return
    const stop = new AbortController()
    compare(name, number, text, stop.signal).then(
      setCompared,
      (err: unknown) => !stop.signal.aborted && setCompared({ error: textOf(err) }),
    )
    return () => stop.abort()
  }, [name, number, text])
  return compared
}

async function compare(name: string, number: string, text: string, signal: AbortSignal): Promise<Comparison> {
  const kept = number === '0' ? await lastOf(name, signal) : undefined
  const base = kept ?? number
  const request = base === '0' ? { text } : { text, base: name, number: base }
  return { check: await call('PolicyService/Check', request, { signal }), kept }
}

// lastOf a policy: the newest version that is no deletion, which its cells keep.
async function lastOf(name: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    const { versions = [] } = await call('PolicyService/History', { name, limit: 2 }, { signal })
    return versions.find((v) => !v.deleted)?.number
  } catch (err) {
    if (isKind(err, 'NotFound')) return undefined
    throw err
  }
}

export const isStorable = ({ check }: Comparison): boolean => check !== undefined && !check.problems?.length

// Compared shows what a text gives and takes, or why it cannot be stored.
export function Compared({ of: { check, kept, error } }: { of: Comparison }) {
  if (error) return <Problem text={error} />
  if (!check)
    return (
      <p class="dim" role="status">
        Comparing…
      </p>
    )
  const problem = check.problems?.[0]
  if (problem) return <Problem text={`line ${problem.line}: ${problem.message}`} />
  if (Number(check.number ?? 0) === 0)
    return <p class="note">There is no earlier version to compare with. Cells get all that this text permits.</p>
  return (
    <>
      {kept && <p>The policy was deleted. The comparison is with version {kept}, which its cells still have.</p>}
      <Authority changes={check.changes} />
    </>
  )
}
