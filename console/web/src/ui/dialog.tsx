import type { ComponentChildren } from 'preact'
import { useEffect, useId, useLayoutEffect, useRef, useState } from 'preact/hooks'

import { textOf } from '../api/errors.ts'
import { notify } from '../notices.ts'
import { Problem } from './bits.tsx'

interface DialogProps {
  title: string
  wide?: boolean
  onClose: () => void
  children: ComponentChildren
}

// Dialog is the browser's own: it keeps the focus, gives it back when it is closed, and Escape closes it.
export function Dialog({ title, wide, onClose, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null)
  const id = useId()
  // Before it is taken off the page: later there is nothing to close, and the focus is lost.
  useLayoutEffect(() => {
    const it = dialog.current!
    it.showModal()
    return () => it.close()
  }, [])
  return (
    <dialog ref={dialog} class={wide ? 'wide' : ''} aria-labelledby={id} onClose={() => dialog.current && onClose()}>
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  )
}

// useOpen tells, after a call, whether what made it is still on the page. Another may be, in its place.
export function useOpen(): { readonly current: boolean } {
  const open = useRef(true)
  useEffect(() => () => void (open.current = false), [])
  return open
}

interface AskProps {
  title: string
  what: string // is done, for when it fails after this was closed
  yes: string
  danger?: boolean
  onClose: () => void
  act: () => Promise<unknown>
  children: ComponentChildren
}

// Ask does something when it is told to, and closes; it stays, and says why, when that fails. If it was closed before, a
// notice says so.
export function Ask({ title, what, yes, danger, onClose, act, children }: AskProps) {
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<string>()
  const open = useOpen()
  const submit = async (e: Event) => {
    e.preventDefault()
    setBusy(true)
    try {
      await act()
      if (open.current) onClose()
    } catch (err) {
      if (!open.current) return notify(what, err)
      setError(textOf(err))
      setBusy(false)
    }
  }
  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={submit}>
        {children}
        <Problem text={error} />
        <div class="buttons">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button class={danger ? 'danger' : 'primary'} disabled={busy}>
            {yes}
          </button>
        </div>
      </form>
    </Dialog>
  )
}

interface ConfirmProps {
  title: string
  what: string // as Ask has it
  yes: string
  onClose: () => void
  act: (reason: string) => Promise<unknown>
  reason?: string // the label of a field for one; without it none is asked for
  children: ComponentChildren
}

// Confirm asks before something that cannot be undone.
export function Confirm({ act, reason, children, ...ask }: ConfirmProps) {
  const [why, setWhy] = useState('')
  return (
    <Ask {...ask} danger act={() => act(why)}>
      {children}
      {reason && (
        <label class="field">
          {reason}
          <input value={why} maxLength={1000} onInput={(e) => setWhy(e.currentTarget.value)} />
        </label>
      )}
    </Ask>
  )
}
