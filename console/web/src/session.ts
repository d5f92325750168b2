// What the tab keeps: the token, in the browser's storage of this tab and nowhere else, and
// how it wants to look.

import { signal } from './signal.ts'
import { call as plainCall, stream as plainStream, type Options } from './api/client.ts'
import { isKind } from './api/errors.ts'
import type { Calls, Streams } from './api/types.ts'

const tokenKey = 'pyisolate.token'

export const token = signal(sessionStorage.getItem(tokenKey) ?? '')
// Why somebody has to log in again; empty: he never was.
export const loggedOut = signal('')

export function logIn(secret: string): void {
  sessionStorage.setItem(tokenKey, secret)
  loggedOut.value = ''
  token.value = secret
}

// A token for changes of policies, when that of the session may not make them: in the memory
// of the page alone.
export const stronger = signal('')

// logOut forgets all that the page has in memory, too.
export function logOut(): void {
  sessionStorage.removeItem(tokenKey)
  location.reload()
}

function end(why: string): void {
  sessionStorage.removeItem(tokenKey)
  stronger.value = ''
  loggedOut.value = why
  token.value = ''
}

// endedBy what became of a call with this token of the session's: a refused token ends the
// session, unless somebody has logged in anew since.
function endedBy(err: unknown, used: string): never {
  if (used === token.value && isKind(err, 'Unauthenticated')) end(err.text)
  throw err
}

// call is made with the session's token, or with one for this call alone, whose refusal ends
// nothing.
export async function call<M extends keyof Calls>(method: M, request: Calls[M][0], options: Options = {}): Promise<Calls[M][1]> {
  if (options.token !== undefined) return plainCall(method, request, options)
  const used = token.value
  return plainCall(method, request, { ...options, token: used }).catch((err: unknown) => endedBy(err, used))
}

export async function* stream<M extends keyof Streams>(
  method: M,
  request: Streams[M][0],
  options: Omit<Options, 'token'> = {},
): AsyncGenerator<Streams[M][1]> {
  const used = token.value
  try {
    yield* plainStream(method, request, { ...options, token: used })
  } catch (err) {
    endedBy(err, used)
  }
}

export type Theme = 'system' | 'light' | 'dark'
const themeKey = 'pyisolate.theme'
const themes: Theme[] = ['system', 'light', 'dark']

function storedTheme(): Theme {
  const stored = localStorage.getItem(themeKey) as Theme | null
  return stored && themes.includes(stored) ? stored : 'system'
}

export const theme = signal<Theme>(storedTheme())

export function setTheme(next: Theme): void {
  theme.value = next
  localStorage.setItem(themeKey, next)
  showTheme()
}

export function showTheme(): void {
  if (theme.value === 'system') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = theme.value
}
