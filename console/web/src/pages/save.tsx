import { useEffect, useRef, useState } from 'preact/hooks'

import { isKind, textOf } from '../api/errors.ts'
import { repeatable } from '../api/request.ts'
import type { Version } from '../api/types.ts'
import { textToBase64 } from '../format.ts'
import { notify } from '../notices.ts'
import { call } from '../session.ts'
import { Problem } from '../ui/bits.tsx'
import { Dialog, useOpen } from '../ui/dialog.tsx'
import { useSecret } from '../ui/secret.tsx'
import { Compared, isStorable, useCompared } from './compared.tsx'

interface SaveProps {
  name: string
  base: { number: string; text: string }
  text: string
  onClose: () => void
  onStored: (v: Version) => void
  onConflict: () => void
}

// Save shows what a new version gives and takes, before it is one.
export function Save({ name, base, text, onClose, onStored, onConflict }: SaveProps) {
  const [comment, setComment] = useState('')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<string>()
  const secret = useSecret()
  const [withId] = useState(repeatable)
  const open = useOpen()
  const compared = useCompared(name, base.number, text)
  const submit = async (e: Event) => {
    e.preventDefault()
    setBusy(true)
    setError(undefined)
    try {
      const request = withId({ name, text: textToBase64(text), expect: base.number, comment })
      onStored((await call('PolicyService/Put', request, { token: secret.token })).version ?? {})
      if (open.current) onClose()
    } catch (err) {
      if (!open.current) return notify(`Save ${name}`, err)
      if (isKind(err, 'Conflict')) return onConflict()
      if (!secret.failed(err)) setError(textOf(err))
      setBusy(false)
    }
  }
  return (
    <Dialog
      title={base.number === '0' ? `Save ${name}` : `Save ${name} as version ${BigInt(base.number) + 1n}`}
      wide
      onClose={onClose}
    >
      <form onSubmit={submit}>
        <h3>Changes to what cells may do</h3>
        <Compared of={compared} />
        {base.text !== '' && (
          <details>
            <summary>Changes to the text</summary>
            <Diff before={base.text} after={text} />
          </details>
        )}
        <label class="field">
          Comment (shown in the history)
          <input value={comment} maxLength={250} onInput={(e) => setComment(e.currentTarget.value)} />
        </label>
        {secret.field}
        <Problem text={error} />
        <div class="buttons">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button class="primary" disabled={busy || !isStorable(compared)}>
            {busy ? 'Saving…' : 'Save'}
          </button>
        </div>
      </form>
    </Dialog>
  )
}

function Diff({ before, after }: { before: string; after: string }) {
  const host = useRef<HTMLDivElement>(null)
  useEffect(() => {
    let close: (() => void) | undefined
    let gone = false
    void import('../editor/editor.ts').then(({ createDiff }) => {
      if (!gone && host.current) close = createDiff(host.current, before, after, 'Changes to the text')
    })
    return () => {
      gone = true
      close?.()
    }
  }, [before, after])
  return <div class="diff" ref={host} />
}
