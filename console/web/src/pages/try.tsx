import { useEffect, useState } from 'preact/hooks'

import { textOf } from '../api/errors.ts'
import type { ExplainRequest, ExplainResponse } from '../api/types.ts'
import { call } from '../session.ts'
import { Problem } from '../ui/bits.tsx'

type What = 'read' | 'write' | 'address' | 'import'

const asked: Record<What, { name: string; example: string; label: string }> = {
  read: { name: 'Read', example: '/srv/data/a.csv', label: 'An absolute path' },
  write: { name: 'Write', example: '/srv/data/a.csv', label: 'An absolute path' },
  address: { name: 'Connect', example: '10.0.0.1:443', label: 'An address or host, and a port' },
  import: { name: 'Import', example: 'os.path', label: 'A module' },
}

interface TryProps {
  text: string
  name: string
  stored: string // the version to ask instead of the text; "0": there is none
  sandboxes: string[]
  onJump: (line: number) => void
}

interface Question {
  what: What
  about: string
  sandbox: string
  live: boolean
}

// Try asks the node whether something is permitted, and asks again when the text changes.
export function Try({ text, name, stored, sandboxes, onJump }: TryProps) {
  const [what, setWhat] = useState<What>('read')
  const [about, setAbout] = useState('')
  const [sandbox, setSandbox] = useState('')
  const [live, setLive] = useState(false)
  const [question, setQuestion] = useState<Question>()
  const chosen = sandboxes.includes(sandbox) ? sandbox : (sandboxes[0] ?? '')
  const verdict = useVerdict(question, text, name, stored)
  const submit = (e: Event) => {
    e.preventDefault()
    setQuestion({ what, about: about.trim(), sandbox: chosen, live })
  }
  return (
    <section class="card try">
      <h2>Try it</h2>
      <form onSubmit={submit}>
        <div class="segments" role="group" aria-label="What to try">
          {(Object.keys(asked) as What[]).map((w) => (
            <button key={w} type="button" aria-pressed={what === w} onClick={() => setWhat(w)}>
              {asked[w].name}
            </button>
          ))}
        </div>
        <label class="field">
          {asked[what].label}
          <input
            value={about}
            required
            placeholder={asked[what].example}
            autocomplete="off"
            spellcheck={false}
            onInput={(e) => setAbout(e.currentTarget.value)}
          />
        </label>
        <div class="row">
          <label class="field">
            Sandbox
            <select value={chosen} onChange={(e) => setSandbox(e.currentTarget.value)}>
              {sandboxes.map((s) => (
                <option key={s} value={s}>
                  {s}
                </option>
              ))}
            </select>
          </label>
          <label class="field">
            Check against
            <select value={live ? 'live' : 'text'} onChange={(e) => setLive(e.currentTarget.value === 'live')}>
              <option value="text">this text</option>
              {stored !== '0' && <option value="live">the stored version</option>}
            </select>
          </label>
        </div>
        <div class="buttons">
          <button class="primary">Try</button>
        </div>
      </form>
      <div role="status">{question && <Shown question={question} {...verdict} onJump={onJump} />}</div>
    </section>
  )
}

function requestOf({ what, about, sandbox, live }: Question, text: string, name: string): ExplainRequest {
  const by = live ? { name, sandbox } : { text, sandbox }
  if (what === 'import') return { ...by, module: about }
  return what === 'address' ? { ...by, address: about } : { ...by, path: { path: about, write: what === 'write' } }
}

function useVerdict(question: Question | undefined, text: string, name: string, stored: string) {
  const [state, setState] = useState<{ verdict?: ExplainResponse; error?: string }>({})
  const by = question?.live ? stored : text
  useEffect(() => setState({}), [question])
  useEffect(() => {
    if (!question) return
    const stop = new AbortController()
    const timer = window.setTimeout(
      () => {
        call('PolicyService/Explain', requestOf(question, text, name), { signal: stop.signal }).then(
          (verdict) => setState({ verdict }),
          (err: unknown) => !stop.signal.aborted && setState({ error: textOf(err) }),
        )
      },
      state.verdict ? 500 : 0,
    )
    return () => {
      stop.abort()
      window.clearTimeout(timer)
    }
  }, [question, by])
  return state
}

interface ShownProps {
  question: Question
  verdict?: ExplainResponse
  error?: string
  onJump: (line: number) => void
}

function Shown({ question: q, verdict: v, error, onJump }: ShownProps) {
  if (error) return <Problem text={error} />
  if (!v) return null
  const line = v.line ?? 0
  return (
    <div class={`verdict ${v.allowed ? 'allowed' : 'denied'}`}>
      <p class="answer">
        <strong>{v.allowed ? 'Allowed' : 'Denied'}</strong> <span class="dim">{asked[q.what].name.toLowerCase()}</span>{' '}
        <code>{q.about}</code>
      </p>
      {v.rule && (
        <p class="rule">
          <code>{v.rule}</code>{' '}
          {line > 0 &&
            (q.live ? (
              <span class="dim">line {line} of the stored version</span>
            ) : (
              <button type="button" class="link" onClick={() => onJump(line)}>
                line {line}
              </button>
            ))}
        </p>
      )}
      {v.why && <p>{v.why}</p>}
      {v.layer && <p class="dim">Enforced by the {v.layer}</p>}
    </div>
  )
}
