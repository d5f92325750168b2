import { useEffect, useRef, useState } from 'preact/hooks'

import type { Version } from '../api/types.ts'
import { date } from '../format.ts'
import { documentOf } from '../policy.ts'
import { Dialog } from '../ui/dialog.tsx'

interface ConflictProps {
  mine: string
  merged: string | undefined // what has been made of both so far
  based: string // the version that mine was made from
  theirs: Version
  onClose: () => void
  onMerge: (text: string) => void
  onResolved: (theirs: Version, text: string) => void
}

// Conflict shows what somebody else has stored meanwhile, beside one's own. Whatever is
// chosen only goes back into the editor, and is saved from there as a change of theirs. What is
// written here is told of at once, so that it outlives the dialog.
export function Conflict({ mine, merged, based, theirs, onClose, onMerge, onResolved }: ConflictProps) {
  const host = useRef<HTMLDivElement>(null)
  const [ready, setReady] = useState(false)
  const text = documentOf(theirs)
  useEffect(() => {
    let close: (() => void) | undefined
    let gone = false
    void import('../editor/editor.ts').then(({ createMerge }) => {
      if (gone || !host.current) return
      close = createMerge({ host: host.current, theirs: text, mine: merged ?? mine, onChange: onMerge })
      setReady(true)
    })
    return () => {
      gone = true
      close?.()
    }
  }, [])
  return (
    <Dialog title="Someone else saved first" wide onClose={onClose}>
      <p>
        You changed version {based}.{' '}
        {theirs.number === '0' ? (
          'Meanwhile the policy was deleted.'
        ) : (
          <>
            Meanwhile <strong>{theirs.author}</strong> stored version {theirs.number}, {date(theirs.time)}
            {theirs.comment && <>: {theirs.comment}</>}.
          </>
        )}
      </p>
      <div class="mergeheads" aria-hidden="true">
        <span>Theirs, version {theirs.number}</span>
        <span>Yours: edit here, or copy single changes with →</span>
      </div>
      <div class="merge" ref={host} />
      <div class="buttons">
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button type="button" onClick={() => onResolved(theirs, text)}>
          Take theirs
        </button>
        <button type="button" class="danger" onClick={() => onResolved(theirs, mine)}>
          Overwrite theirs with mine
        </button>
        <button type="button" class="primary" disabled={!ready} onClick={() => onResolved(theirs, merged ?? mine)}>
          Use the merged text
        </button>
      </div>
    </Dialog>
  )
}
