import { useEffect, useState } from 'preact/hooks'

import { textOf } from '../api/errors.ts'
import { repeatable } from '../api/request.ts'
import type { Version } from '../api/types.ts'
import { ago, date, hex, textFromBase64 } from '../format.ts'
import { useNow, usePolled } from '../live.ts'
import { notify } from '../notices.ts'
import { call } from '../session.ts'
import { Problem } from '../ui/bits.tsx'
import { Dialog, useOpen } from '../ui/dialog.tsx'
import { useSecret } from '../ui/secret.tsx'
import { Table, type Column } from '../ui/table.tsx'
import { Compared, isStorable, useCompared } from './compared.tsx'

const most = 200 // versions that are shown

interface HistoryProps {
  name: string
  latest: Version | undefined
  onChanged: () => void
}

export function History({ name, latest, onChanged }: HistoryProps) {
  const history = usePolled((signal) => call('PolicyService/History', { name, limit: most }, { signal }), 0, [
    name,
    latest?.number,
  ])
  const now = useNow(10_000)
  const [shown, setShown] = useState<Version>()
  const [rolling, setRolling] = useState<{ to: Version; newest: Version }>()
  const versions = history.value?.versions ?? []
  const newest = versions[0]
  return (
    <>
      <Problem text={history.error} />
      <Table
        label={`Versions of ${name}`}
        rows={versions}
        columns={columns(now, newest, setShown, (to) => setRolling({ to, newest: newest ?? to }))}
        keyOf={(v) => v.number ?? ''}
        empty={history.value ? 'There are no versions.' : ''}
      />
      {versions.length === most && (
        <p class="dim">
          Older ones: <code>pyisolate-node policy history {name}</code>
        </p>
      )}
      {shown && <Text name={name} version={shown} onClose={() => setShown(undefined)} />}
      {rolling && (
        <Rollback
          name={name}
          {...rolling}
          onClose={() => setRolling(undefined)}
          onDone={() => {
            history.again()
            onChanged()
          }}
        />
      )}
    </>
  )
}

function columns(
  now: number,
  newest: Version | undefined,
  show: (v: Version) => void,
  roll: (v: Version) => void,
): Column<Version>[] {
  return [
    { name: 'Version', by: (v) => Number(v.number ?? 0), show: (v) => v.number },
    {
      name: 'Stored',
      by: (v) => v.time ?? '',
      show: (v) => (
        <time dateTime={v.time} title={date(v.time)}>
          {ago(v.time, now)}
        </time>
      ),
    },
    { name: 'By', by: (v) => v.author ?? '', show: (v) => v.author },
    {
      name: 'Comment',
      show: (v) => (
        <span class="wrap">
          {v.comment}
          {v.source && <span class="dim"> {v.source}</span>}
          {v.deleted && <span class="word bad">deleted</span>}
        </span>
      ),
    },
    {
      name: 'Hash',
      show: (v) => (
        <code class="dim" title={hex(v.hash)}>
          {hex(v.hash).slice(0, 12)}
        </code>
      ),
    },
    {
      name: '',
      show: (v) =>
        !v.deleted && (
          <span class="rowactions">
            <button type="button" class="quiet" aria-label={`Show version ${v.number}`} onClick={() => show(v)}>
              Show
            </button>
            {v.number !== newest?.number && (
              <button type="button" class="quiet" aria-label={`Roll back to version ${v.number}`} onClick={() => roll(v)}>
                Roll back…
              </button>
            )}
          </span>
        ),
    },
  ]
}

function useText(name: string, number: string | undefined): [string | undefined, string | undefined] {
  const [text, setText] = useState<string>()
  const [error, setError] = useState<string>()
  useEffect(() => {
    const stop = new AbortController()
    call('PolicyService/Get', { name, number }, { signal: stop.signal }).then(
      (r) => setText(textFromBase64(r.version?.text)),
      (err: unknown) => !stop.signal.aborted && setError(textOf(err)),
    )
    return () => stop.abort()
  }, [name, number])
  return [text, error]
}

function Text({ name, version, onClose }: { name: string; version: Version; onClose: () => void }) {
  const [text, error] = useText(name, version.number)
  return (
    <Dialog title={`${name}, version ${version.number}`} wide onClose={onClose}>
      <Problem text={error} />
      <pre class="document" tabIndex={0}>
        <code>{text}</code>
      </pre>
      <div class="buttons">
        <button type="button" class="primary" onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  )
}

interface RollbackProps {
  name: string
  to: Version
  newest: Version // when it was opened: what is stored meanwhile is not replaced unseen
  onClose: () => void
  onDone: () => void
}

function Rollback({ name, to, newest, onClose, onDone }: RollbackProps) {
  const [text, textError] = useText(name, to.number)
  const number = newest.deleted ? '0' : (newest.number ?? '0')
  const compared = useCompared(name, number, text)
  const [comment, setComment] = useState('')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<string>()
  const [withId] = useState(repeatable)
  const open = useOpen()
  const secret = useSecret()
  const submit = async (e: Event) => {
    e.preventDefault()
    setBusy(true)
    setError(undefined)
    try {
      const request = withId({ name, to: to.number, expect: number, comment })
      await call('PolicyService/Rollback', request, { token: secret.token })
      onDone()
      if (open.current) onClose()
    } catch (err) {
      if (!open.current) return notify(`Roll ${name} back to version ${to.number}`, err)
      if (!secret.failed(err)) setError(textOf(err))
      setBusy(false)
    }
  }
  return (
    <Dialog title={`Roll ${name} back to version ${to.number}`} wide onClose={onClose}>
      <form onSubmit={submit}>
        <p>Its text becomes version {String(BigInt(newest.number ?? '0') + 1n)}; nothing is removed from the history.</p>
        <h3>Changes to what cells may do</h3>
        <Compared of={compared} />
        <label class="field">
          Comment (shown in the history)
          <input value={comment} maxLength={250} onInput={(e) => setComment(e.currentTarget.value)} />
        </label>
        {secret.field}
        <Problem text={error ?? textError} />
        <div class="buttons">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button class="primary" disabled={busy || !isStorable(compared)}>
            Roll back
          </button>
        </div>
      </form>
    </Dialog>
  )
}
