import { useState } from 'preact/hooks'

import { isKind } from '../api/errors.ts'
import { stronger } from '../session.ts'

export interface Secret {
  // What to call with; undefined: the session's.
  token: string | undefined
  // Tells of a failed call, and says whether another token is asked for now.
  failed: (err: unknown) => boolean
  field: preact.ComponentChildren
}

// useSecret has a token asked for, and only when the one there is does not do.
export function useSecret(): Secret {
  const [why, setWhy] = useState('')
  const [secret, setSecret] = useState(stronger.value)
  const failed = (err: unknown) => {
    if (!isKind(err, 'PolicyAuth', 'Unauthenticated')) return false
    if (stronger.value === secret.trim()) stronger.value = '' // else it is of a later session
    setSecret('')
    setWhy(err.message)
    return true
  }
  const change = (value: string) => {
    setSecret(value)
    stronger.value = value.trim()
  }
  const field = why !== '' && (
    <div class="secret">
      <p role="alert">{why}</p>
      <label class="field">
        A token with the role policy-admin
        <input
          type="password"
          value={secret}
          required
          autofocus
          autocomplete="off"
          spellcheck={false}
          onInput={(e) => change(e.currentTarget.value)}
        />
      </label>
    </div>
  )
  return { token: secret.trim() || undefined, failed, field }
}
