import { useEffect, useRef, useState } from 'preact/hooks'

import type { Version } from '../api/types.ts'
import type { Merge } from '../editor/editor.ts'
import { date, textFromBase64 } from '../format.ts'
import { Dialog } from '../ui/dialog.tsx'

interface ConflictProps {
  mine: string
  based: string // the version that mine was made from
  theirs: Version
  onClose: () => void
  onResolved: (theirs: Version, text: string) => void
}

// Conflict shows what somebody else has stored meanwhile, beside one's own. Whatever is
// chosen only goes back into the editor, and is saved from there as a change of theirs.
export function Conflict({ mine, based, theirs, onClose, onResolved }: ConflictProps) {
  const host = useRef<HTMLDivElement>(null)
  const merge = useRef<Merge>(undefined)
  const [ready, setReady] = useState(false)
  const text = textFromBase64(theirs.text)
  useEffect(() => {
    let gone = false
    void import('../editor/editor.ts').then(({ createMerge }) => {
      if (gone || !host.current) return
      merge.current = createMerge(host.current, text, mine)
      setReady(true)
    })
    return () => {
      gone = true
      merge.current?.destroy()
    }
  }, [])
  return (
    <Dialog title="Somebody was faster" wide onClose={onClose}>
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
        <span>Yours: write here, or take single changes over with →</span>
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
        <button type="button" class="primary" disabled={!ready} onClick={() => onResolved(theirs, merge.current?.text() ?? mine)}>
          Go on with the merged text
        </button>
      </div>
    </Dialog>
  )
}
