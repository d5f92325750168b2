import { useEffect } from 'preact/hooks'

import { dismiss, notices } from './notices.ts'
import { Cell } from './pages/cell.tsx'
import { Cells } from './pages/cells.tsx'
import { hasDraft } from './pages/edit.tsx'
import { Events } from './pages/events.tsx'
import { Login } from './pages/login.tsx'
import { Nodes } from './pages/nodes.tsx'
import { Policies } from './pages/policies.tsx'
import { Policy } from './pages/policy.tsx'
import { href, route, type Route } from './route.ts'
import { logOut, setTheme, theme, token, type Theme } from './session.ts'
import { useSignal } from './signal.ts'
import { Problem } from './ui/bits.tsx'
import { useFocusKept } from './ui/focus.ts'

const places: { name: string; to: Route; has: Route['page'][] }[] = [
  { name: 'Cells', to: { page: 'cells' }, has: ['cells', 'cell'] },
  { name: 'Denials', to: { page: 'denials' }, has: ['denials'] },
  { name: 'Events', to: { page: 'events' }, has: ['events'] },
  { name: 'Policies', to: { page: 'policies' }, has: ['policies', 'policy'] },
  { name: 'Nodes', to: { page: 'nodes' }, has: ['nodes'] },
]

export function App() {
  const secret = useSignal(token)
  const at = useSignal(route)
  useFocusKept()
  useEffect(() => {
    const ask = (e: Event) => hasDraft() && e.preventDefault()
    window.addEventListener('beforeunload', ask)
    return () => window.removeEventListener('beforeunload', ask)
  }, [])
  if (!secret) return <Login />
  return (
    <>
      <a class="skip" href="#main" onClick={skip}>
        Skip to content
      </a>
      <nav aria-label="Console" class="bar">
        <span class="brand">
          <img src={`${import.meta.env.BASE_URL}icon.svg`} alt="" width="20" height="20" />
          PyIsolate
        </span>
        <ul>
          {places.map((p) => (
            <li key={p.name}>
              <a href={href(p.to)} aria-current={p.has.includes(at.page) ? 'page' : undefined}>
                {p.name}
              </a>
            </li>
          ))}
        </ul>
        <span class="right">
          <ThemeSwitch />
          <button type="button" onClick={logOut}>
            Log out
          </button>
        </span>
      </nav>
      <main id="main" tabIndex={-1}>
        <Notices />
        <Page at={at} />
      </main>
    </>
  )
}

function Notices() {
  return (
    <>
      {useSignal(notices).map((n, i) => (
        <Problem key={i} text={`${n.what}: ${n.why}`}>
          <button type="button" onClick={() => dismiss(n)}>
            Dismiss
          </button>
        </Problem>
      ))}
    </>
  )
}

// The address is the page's, so a link within it must not change it.
function skip(e: Event) {
  e.preventDefault()
  document.getElementById('main')?.focus()
}

function Page({ at }: { at: Route }) {
  switch (at.page) {
    case 'cells':
      return <Cells />
    case 'cell':
      return <Cell key={`${at.tenant}/${at.name}`} tenant={at.tenant} name={at.name} />
    case 'denials':
      return <Events key="denials" denials />
    case 'events':
      return <Events key="events" />
    case 'nodes':
      return <Nodes />
    case 'policies':
      return <Policies />
    case 'policy':
      return <Policy key={at.name} name={at.name} tab={at.tab} />
  }
}

function ThemeSwitch() {
  const now = useSignal(theme)
  return (
    <label class="theme">
      <span class="hidden">Colours</span>
      <select value={now} onChange={(e) => setTheme(e.currentTarget.value as Theme)}>
        <option value="system">System</option>
        <option value="light">Light</option>
        <option value="dark">Dark</option>
      </select>
    </label>
  )
}
