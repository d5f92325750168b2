import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'

import { textOf } from '../api/errors.ts'
import type { CheckResponse, Version } from '../api/types.ts'
import type { Editor } from '../editor/editor.ts'
import { count, textToBase64 } from '../format.ts'
import { guardLeaving } from '../route.ts'
import { documentOf } from '../policy.ts'
import { call, token } from '../session.ts'
import { Problem } from '../ui/bits.tsx'
import { Conflict } from './conflict.tsx'
import { Save } from './save.tsx'
import { Try } from './try.tsx'

const patience = 400 // milliseconds after the last key, before the node is asked

const beginning = `version: 1.0
sandboxes:
  main:
    imports: [json, math]
    mem: 64MiB
    wall: 30s
`

// What is edited: a version, and what it has become.
interface Base {
  number: string // of the newest version when it was read; "0": there was none
  text: string
}

// What was being written when the session ended: after the next login it is there again.
let draft: { name: string; base: Base; text: string; merged: string | undefined } | undefined

export const hasDraft = (): boolean => draft !== undefined

function takeDraft(name: string) {
  if (draft?.name !== name) return undefined // it waits for its own page
  const taken = draft
  draft = undefined
  return taken
}

const mergeKept = 'Your merge is kept until you change the text here.'

interface EditProps {
  opened: Version
  latest: Version | undefined
  onReload: () => void
  onStored: (v: Version) => void
  newest: () => Promise<Version>
}

export function Edit({ opened, latest, onReload, onStored, newest }: EditProps) {
  const name = opened.name ?? ''
  const [kept] = useState(() => takeDraft(name))
  const [base, setBase] = useState<Base>(kept?.base ?? { number: opened.number ?? '0', text: documentOf(opened) })
  const [text, setText] = useState(kept?.text ?? (base.text || beginning))
  const [editor, setEditor] = useState<Editor>()
  const [saving, setSaving] = useState(false)
  const [conflict, setConflict] = useState<Version>()
  const [merged, setMerged] = useState(kept?.merged) // of this text and another's, and not taken yet
  const [said, setSaid] = useState(merged === undefined ? '' : mergeKept)
  const [error, setError] = useState<string>()
  const check = useCheck(text, editor)
  const dirty = text !== base.text
  useLeaving(text !== (base.text || beginning))
  useDraft({ name, base, text, merged })

  const changed = (next: string) => {
    setText(next)
    setMerged(undefined)
    setSaid('')
  }
  const stored = (v: Version) => {
    setBase({ number: v.number ?? '0', text })
    setSaid(`Saved as version ${v.number}. Cells that follow the policy get it now.`)
    onStored({ ...v, name, text: textToBase64(text) })
  }
  const conflicted = async () => {
    setSaving(false)
    setError(undefined)
    await newest().then(setConflict, (err: unknown) => setError(textOf(err)))
  }
  const putOff = () => {
    setConflict(undefined)
    if (merged !== undefined) setSaid(mergeKept)
  }
  const resolved = (theirs: Version, chosen: string) => {
    setBase({ number: theirs.number ?? '0', text: documentOf(theirs) })
    editor?.setText(chosen)
    setConflict(undefined)
    setSaid(theirs.number === '0' ? 'Saving now creates the policy again.' : `Your next save follows version ${theirs.number}.`)
  }
  const ahead = Number(latest?.number ?? 0) > Number(base.number) && !latest?.deleted && base.number !== '0'
  return (
    <div class="editpage">
      {ahead && <Ahead latest={latest!} dirty={dirty} onReload={onReload} onMerge={() => void conflicted()} />}
      <div class="columns">
        <div class="main">
          <section class="card editorcard">
            <EditorBox text={text} label={`Document of ${name}`} onChange={changed} onReady={setEditor} />
            <footer class="editorfoot">
              <CheckLine check={check} onJump={(line) => editor?.jump(line)} />
              <span class="dim small">
                {base.number === '0' ? 'not stored yet' : `version ${base.number}${dirty ? ', changed' : ''}`}
              </span>
              <span class="buttons">
                {dirty && base.text !== '' && (
                  <button type="button" onClick={() => editor?.setText(base.text)}>
                    Undo all
                  </button>
                )}
                <button
                  type="button"
                  class="primary"
                  disabled={!dirty || check.state === 'faulty'}
                  onClick={() => setSaving(true)}
                >
                  Save…
                </button>
              </span>
            </footer>
          </section>
          <Problem text={error} />
          <p role="status" class="good-text">
            {said}
          </p>
        </div>
        <div class="side">
          <Try text={text} name={name} stored={base.number} sandboxes={check.sandboxes} onJump={(line) => editor?.jump(line)} />
        </div>
      </div>
      {saving && (
        <Save
          name={name}
          base={base}
          text={text}
          onClose={() => setSaving(false)}
          onStored={stored}
          onConflict={() => void conflicted()}
        />
      )}
      {conflict && (
        <Conflict
          mine={text}
          merged={merged}
          based={base.number}
          theirs={conflict}
          onClose={putOff}
          onMerge={setMerged}
          onResolved={resolved}
        />
      )}
    </div>
  )
}

interface AheadProps {
  latest: Version
  dirty: boolean
  onReload: () => void
  onMerge: () => void
}

function Ahead({ latest, dirty, onReload, onMerge }: AheadProps) {
  return (
    <div class="note" role="status">
      <strong>
        {latest.author} stored version {latest.number}
      </strong>{' '}
      while this page was open{latest.comment && `: ${latest.comment}`}.{' '}
      {dirty ? (
        <button type="button" onClick={onMerge}>
          Compare and merge…
        </button>
      ) : (
        <button type="button" onClick={onReload}>
          Show it
        </button>
      )}
    </div>
  )
}

function useDraft(now: NonNullable<typeof draft>) {
  const last = useRef(now)
  last.current = now
  useEffect(
    () => () => {
      if (token.value === '' && last.current.text !== last.current.base.text) draft = last.current
    },
    [],
  )
}

function useLeaving(dirty: boolean) {
  useLayoutEffect(() => {
    guardLeaving(dirty ? () => 'Your changes are not saved. Leave anyway?' : null)
    return () => guardLeaving(null)
  }, [dirty])
}

export interface Checked {
  state: 'checking' | 'right' | 'faulty' | 'unknown'
  problems: NonNullable<CheckResponse['problems']>
  sandboxes: string[]
  error?: string
}

// useCheck has the node look at the text, some time after it was last changed, and shows in
// the editor what it found.
function useCheck(text: string, editor: Editor | undefined): Checked {
  const [checked, setChecked] = useState<Checked>({ state: 'checking', problems: [], sandboxes: [] })
  useEffect(() => {
    const stop = new AbortController()
    setChecked((old) => ({ ...old, state: 'checking' }))
    const timer = window.setTimeout(async () => {
      try {
        const { problems = [], sandboxes } = await call('PolicyService/Check', { text }, { signal: stop.signal })
        editor?.setProblems(problems)
        setChecked((old) => ({
          state: problems.length > 0 ? 'faulty' : 'right',
          problems,
          sandboxes: sandboxes ?? old.sandboxes,
        }))
      } catch (err) {
        if (!stop.signal.aborted) setChecked((old) => ({ ...old, state: 'unknown', problems: [], error: textOf(err) }))
      }
    }, patience)
    return () => {
      stop.abort()
      window.clearTimeout(timer)
    }
  }, [text, editor])
  return checked
}

function CheckLine({ check, onJump }: { check: Checked; onJump: (line: number) => void }) {
  const first = check.problems[0]
  return (
    <span class="checkline" role="status">
      {check.state === 'checking' && <span class="dim">checking…</span>}
      {check.state === 'right' && <span class="good-text">✓ {count(check.sandboxes.length, 'sandbox', 'sandboxes')}</span>}
      {check.state === 'unknown' && <span class="bad-text">not checked: {check.error}</span>}
      {check.state === 'faulty' && first && (
        <button type="button" class="link bad-text" onClick={() => onJump(first.line ?? 1)}>
          {count(check.problems.length, 'problem')}: line {first.line}: {first.message}
        </button>
      )}
    </span>
  )
}

interface EditorBoxProps {
  text: string
  label: string
  onChange: (text: string) => void
  onReady: (editor: Editor) => void
}

// EditorBox loads the editor, which is most of the console, when it is first needed.
function EditorBox({ text, label, onChange, onReady }: EditorBoxProps) {
  const host = useRef<HTMLDivElement>(null)
  const [lacks, setLacks] = useState('The editor could not be loaded; reload the page')
  const [error, setError] = useState<string>()
  useEffect(() => {
    let editor: Editor | undefined
    let gone = false
    const open = async () => {
      const { createEditor } = await import('../editor/editor.ts')
      if (gone || !host.current) return
      editor = createEditor({ host: host.current, text, label, onChange })
      onReady(editor)
      setLacks('Completion is off')
      const { schema } = await call('PolicyService/Schema', {})
      if (!gone && schema) editor.setSchema(JSON.parse(schema))
    }
    open().catch((err: unknown) => setError(textOf(err)))
    return () => {
      gone = true
      editor?.destroy()
    }
  }, [])
  return (
    <>
      <div class="editor">
        <div ref={host} />
      </div>
      <Problem text={error && `${lacks}: ${error}`} />
    </>
  )
}
