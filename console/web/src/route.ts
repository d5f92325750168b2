// Addresses of pages are behind the #, so that the server has one page and knows no other.

import { signal } from './signal.ts'

export type Route =
  | { page: 'cells' }
  | { page: 'cell'; tenant: string; name: string }
  | { page: 'denials' }
  | { page: 'events' }
  | { page: 'nodes' }
  | { page: 'policies' }
  | { page: 'policy'; name: string; tab: 'edit' | 'history' }

const part = (text: string | undefined): string => {
  try {
    return decodeURIComponent(text ?? '')
  } catch {
    return text ?? ''
  }
}

export function parse(hash: string): Route {
  const [page, first, second] = hash.replace(/^#?\/?/, '').split('/')
  switch (page) {
    case 'cells':
      return first && second ? { page: 'cell', tenant: part(first), name: part(second) } : { page: 'cells' }
    case 'policies':
      return first ? { page: 'policy', name: part(first), tab: second === 'history' ? 'history' : 'edit' } : { page: 'policies' }
    case 'denials':
    case 'events':
    case 'nodes':
      return { page }
  }
  return { page: 'cells' }
}

export function href(to: Route): string {
  switch (to.page) {
    case 'cell':
      return `#/cells/${encodeURIComponent(to.tenant)}/${encodeURIComponent(to.name)}`
    case 'policy':
      return `#/policies/${encodeURIComponent(to.name)}${to.tab === 'history' ? '/history' : ''}`
  }
  return `#/${to.page}`
}

export const route = signal<Route>(parse(location.hash))

// What would be lost when the page is left; null: nothing. It is asked before leaving.
let guard: (() => string | null) | null = null
let current = location.hash

export function guardLeaving(ask: (() => string | null) | null): void {
  guard = ask
}

export function watchRoute(): void {
  window.addEventListener('hashchange', () => {
    if (location.hash === current) return
    const lost = guard?.()
    if (lost && !window.confirm(lost)) {
      history.replaceState(null, '', current || '#/cells')
      return
    }
    guard = null
    current = location.hash
    route.value = parse(current)
    window.scrollTo(0, 0)
  })
  window.addEventListener('beforeunload', (e) => {
    if (guard?.()) e.preventDefault()
  })
}

export function go(to: Route): void {
  location.hash = href(to)
}
