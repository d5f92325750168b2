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

// What is called without another token is called with the session's.
const withToken = (options: Options): Options => ({ ...options, token: options.token ?? token.value })

// A token that is no longer one ends the session; a token for one call alone does not.
function ended(err: unknown, options: Options): never {
  if (options.token === undefined && isKind(err, 'Unauthenticated')) end(err.text)
  throw err
}

export async function call<M extends keyof Calls>(method: M, request: Calls[M][0], options: Options = {}): Promise<Calls[M][1]> {
  return plainCall(method, request, withToken(options)).catch((err: unknown) => ended(err, options))
}

export async function* stream<M extends keyof Streams>(
  method: M,
  request: Streams[M][0],
  options: Options = {},
): AsyncGenerator<Streams[M][1]> {
  try {
    yield* plainStream(method, request, withToken(options))
  } catch (err) {
    ended(err, options)
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
