import { useEffect, useRef, useState } from 'preact/hooks'

import { call } from '../api/client.ts'
import { isKind, textOf } from '../api/errors.ts'
import { logIn, loggedOut } from '../session.ts'
import { useSignal } from '../signal.ts'
import { Problem } from '../ui/bits.tsx'

// Login takes a token that the node takes, and keeps it for this tab.
export function Login() {
  const [secret, setSecret] = useState('')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<string>()
  const why = useSignal(loggedOut)
  const field = useRef<HTMLInputElement>(null)
  useEffect(() => {
    document.title = 'Log in · PyIsolate'
    field.current?.focus() // "autofocus" is heeded in pages alone that have just been loaded
  }, [])
  const submit = async (e: Event) => {
    e.preventDefault()
    setBusy(true)
    try {
      // Any call that every role may make.
      await call('CellService/List', {}, { token: secret.trim() })
      logIn(secret.trim())
    } catch (err) {
      setError(isKind(err, 'Unauthenticated') ? `The node does not know this token: ${err.message}` : textOf(err))
      setBusy(false)
    }
  }
  return (
    <main class="login" id="main">
      <form onSubmit={submit} class="card">
        <h1 class="brand">
          <img src={`${import.meta.env.BASE_URL}icon.svg`} alt="" width="28" height="28" />
          PyIsolate
        </h1>
        <p class="dim">
          Create a token on the node's machine. A <code>viewer</code> looks; an <code>operator</code> also runs code in cells and
          ends them; a <code>policy-admin</code> also changes policies:
        </p>
        <pre>
          <code>pyisolate-node policy token create me --role operator</code>
        </pre>
        <label class="field">
          Token
          <input
            type="password"
            value={secret}
            required
            ref={field}
            autocomplete="off"
            spellcheck={false}
            onInput={(e) => setSecret(e.currentTarget.value)}
          />
        </label>
        <Problem text={error ?? (why || undefined)} />
        <div class="buttons">
          <button class="primary" disabled={busy}>
            Log in
          </button>
        </div>
        <p class="dim small">
          This tab keeps the token until you log out or close it. <a href={`${import.meta.env.BASE_URL}licenses.md`}>Licences</a>
        </p>
      </form>
    </main>
  )
}
