import { useState } from 'preact/hooks'

import { textOf } from '../api/errors.ts'
import { repeatable, requestId } from '../api/request.ts'
import type { CellReport, CheckpointInfo } from '../api/types.ts'
import { ago, bytes, count, date } from '../format.ts'
import { useNow, usePolled } from '../live.ts'
import { notify } from '../notices.ts'
import { go } from '../route.ts'
import { call } from '../session.ts'
import { Problem } from '../ui/bits.tsx'
import { Ask, Confirm, useOpen } from '../ui/dialog.tsx'
import { Table, type Column } from '../ui/table.tsx'

const every = 5000 // milliseconds

interface CheckpointsProps {
  tenant: string
  name: string
  report: CellReport | undefined // of the cell that has the name now, if one does
}

// Checkpoints of a cell, which can outlive it.
export function Checkpoints({ tenant, name, report }: CheckpointsProps) {
  const list = usePolled((signal) => call('CellService/ListCheckpoints', { tenant, name }, { signal }), every, [tenant, name])
  const now = useNow(10_000)
  const taking = useTaking(report, list.again)
  const [restoring, setRestoring] = useState<CheckpointInfo>()
  const [deleting, setDeleting] = useState<CheckpointInfo>()
  return (
    <section class="card">
      <div class="cardhead">
        <h2>Checkpoints</h2>
        <span class="dim" role="status">
          {taking.said}
        </span>
        {report?.state === 'running' && !report.migration && (
          <button type="button" disabled={taking.busy} onClick={taking.take}>
            Checkpoint now
          </button>
        )}
      </div>
      <Problem text={taking.error} />
      <Problem text={list.error} />
      {!!list.value?.silent?.length && (
        <p class="note" role="status">
          {count(list.value.silent.length, 'node')} did not answer: {list.value.silent.join(', ')}. Checkpoints there are missing
          here.
        </p>
      )}
      <Table
        label={`Checkpoints of ${name}`}
        rows={list.value?.checkpoints ?? []}
        columns={columns(now, setRestoring, setDeleting)}
        keyOf={(c) => c.id ?? ''}
        empty={list.value ? 'No checkpoints. The state of this cell is not saved anywhere.' : ''}
      />
      {restoring && <Restore of={restoring} taken={!!report} onClose={() => setRestoring(undefined)} />}
      {deleting && (
        <Confirm
          title={`Delete checkpoint ${short(deleting)}?`}
          what={`Delete checkpoint ${short(deleting)}`}
          yes="Delete it"
          onClose={() => setDeleting(undefined)}
          act={() => call('CellService/DeleteCheckpoint', { id: deleting.id }).finally(list.again)}
        >
          <p>This removes its copies from all nodes. No cell can be restored from it afterwards.</p>
        </Confirm>
      )}
    </section>
  )
}

const short = (c: CheckpointInfo) => (c.id ?? '').slice(0, 12)

function columns(
  now: number,
  restore: (c: CheckpointInfo) => void,
  remove: (c: CheckpointInfo) => void,
): Column<CheckpointInfo>[] {
  return [
    { name: 'Id', show: (c) => <code title={c.id}>{short(c)}</code> },
    {
      name: 'Taken',
      by: (c) => c.at ?? '',
      show: (c) => (
        <time dateTime={c.at} title={date(c.at)}>
          {ago(c.at, now)}
        </time>
      ),
    },
    { name: 'Size', number: true, by: (c) => Number(c.size ?? 0), show: (c) => bytes(c.size) },
    { name: 'Incarnation', number: true, by: (c) => Number(c.epoch ?? 0), show: (c) => c.epoch },
    { name: 'Copies', by: (c) => c.nodes?.length ?? 0, show: (c) => c.nodes?.join(', ') },
    {
      name: '',
      show: (c) => (
        <span class="rowactions">
          {c.recipient ? (
            <span class="dim" title={c.recipient}>
              sealed to another key
            </span>
          ) : (
            <button type="button" class="quiet" aria-label={`Restore ${short(c)}`} onClick={() => restore(c)}>
              Restore…
            </button>
          )}
          <button type="button" class="quiet" aria-label={`Delete ${short(c)}`} onClick={() => remove(c)}>
            Delete…
          </button>
        </span>
      ),
    },
  ]
}

// useTaking makes a checkpoint when it is asked to. What runs in the cell ends first, so it can last.
function useTaking(report: CellReport | undefined, onTaken: () => void) {
  const { tenant, name } = report?.cell ?? {}
  const [state, setState] = useState<{ busy?: boolean; said?: string; error?: string }>({})
  const open = useOpen()
  const take = async () => {
    setState({ busy: true, said: 'Waiting for running code to end…' })
    try {
      const { checkpoint } = await call('CellService/Checkpoint', { tenant, name, id: report?.id, requestId: requestId() })
      if (!checkpoint?.id) throw new Error('The node did not say what it has saved.')
      setState({ said: `Saved as ${short(checkpoint)}.` })
    } catch (err) {
      if (!open.current) return notify(`Checkpoint ${tenant}/${name}`, err)
      setState({ error: textOf(err) })
    }
    onTaken()
  }
  return { ...state, take: () => void take() }
}

interface RestoreProps {
  of: CheckpointInfo
  taken: boolean // whether its cell's name is
  onClose: () => void
}

// Restore starts a cell from a checkpoint, and goes to its page, unless it was closed meanwhile.
function Restore({ of, taken, onClose }: RestoreProps) {
  const { tenant = '', name = '' } = of.cell ?? {}
  const [to, setTo] = useState(taken ? `${name.slice(0, 60)}-2` : name)
  const [withId] = useState(repeatable)
  const open = useOpen()
  const act = async () => {
    const { cell } = await call('CellService/Restore', withId({ id: of.id, tenant, name: to }))
    if (open.current) go({ page: 'cell', tenant: cell?.tenant ?? tenant, name: cell?.name ?? to })
  }
  return (
    <Ask title={`Restore ${short(of)}`} what={`Restore ${short(of)}`} yes="Restore it" onClose={onClose} act={act}>
      <p>
        {taken
          ? `A cell named ${name} already exists. A second one starts from the checkpoint, under another name.`
          : 'A cell starts from the checkpoint.'}{' '}
        The policy that is in force now applies.
      </p>
      <label class="field">
        Name
        <input
          value={to}
          required
          maxLength={64}
          pattern="[A-Za-z0-9_\-]+"
          title="Letters, digits, _ and -"
          onInput={(e) => setTo(e.currentTarget.value)}
        />
      </label>
    </Ask>
  )
}
