import type { AuthorityChange, SandboxChange } from '../api/types.ts'

const signs: Record<string, [sign: string, tone: string, word: string]> = {
  gained: ['+', 'gained', 'gained'],
  lost: ['−', 'lost', 'lost'],
  changed: ['~', 'changed', 'changed'],
}

// Authority is what cells would be permitted that they are not now, and the other way round.
export function Authority({ changes }: { changes: SandboxChange[] | undefined }) {
  if (!changes?.length) return <p class="note quiet">Nothing is gained and nothing lost.</p>
  return (
    <div class="authority">
      {changes.map((s) => (
        <section key={s.sandbox} aria-label={`Sandbox ${s.sandbox}`}>
          <h3>
            {s.sandbox}
            {s.added && <span class="word good">new</span>}
            {s.removed && <span class="word bad">removed</span>}
          </h3>
          <ul>
            {(s.changes ?? []).map((c, i) => (
              <Change key={i} c={c} />
            ))}
          </ul>
        </section>
      ))}
    </div>
  )
}

function Change({ c }: { c: AuthorityChange }) {
  const [sign, tone, word] = signs[c.direction ?? ''] ?? ['~', 'changed', c.direction ?? '']
  return (
    <li class={tone}>
      <span class="sign" aria-hidden="true">
        {sign}
      </span>
      <span class="hidden">{word}: </span>
      <span class="what">{c.what}</span>
      <code>{c.text}</code>
    </li>
  )
}
