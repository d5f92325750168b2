import type { ComponentChildren } from 'preact'
import { useEffect, useId, useRef, useState } from 'preact/hooks'

import { textOf } from '../api/errors.ts'
import { Problem } from './bits.tsx'

interface DialogProps {
  title: string
  wide?: boolean
  onClose: () => void
  children: ComponentChildren
}

// Dialog is the browser's own: it keeps the focus, gives it back, and Escape closes it.
export function Dialog({ title, wide, onClose, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null)
  const id = useId()
  useEffect(() => {
    dialog.current?.showModal()
  }, [])
  return (
    <dialog ref={dialog} class={wide ? 'wide' : ''} aria-labelledby={id} onClose={onClose}>
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  )
}

interface ConfirmProps {
  title: string
  yes: string
  onClose: () => void
  act: (reason: string) => Promise<unknown>
  reason?: string // the label of a field for one; without it none is asked for
  children: ComponentChildren
}

// Confirm asks before something that cannot be undone, and stays when it fails.
export function Confirm({ title, yes, onClose, act, reason, children }: ConfirmProps) {
  const [why, setWhy] = useState('')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<string>()
  const submit = async (e: Event) => {
    e.preventDefault()
    setBusy(true)
    try {
      await act(why)
      onClose()
    } catch (err) {
      setError(textOf(err))
      setBusy(false)
    }
  }
  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={submit}>
        {children}
        {reason && (
          <label class="field">
            {reason}
            <input value={why} maxLength={1000} onInput={(e) => setWhy(e.currentTarget.value)} />
          </label>
        )}
        <Problem text={error} />
        <div class="buttons">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button class="danger" disabled={busy}>
            {yes}
          </button>
        </div>
      </form>
    </Dialog>
  )
}
