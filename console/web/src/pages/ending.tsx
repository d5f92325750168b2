import { useState } from 'preact/hooks'

import type { CellReport } from '../api/types.ts'
import { call } from '../session.ts'
import { Confirm } from '../ui/dialog.tsx'

export type Ending = 'quarantine' | 'kill' | 'close'

const ended = new Set(['closed', 'killed', 'crashed'])

const far = new Set(['unknown', 'lost', 'suspended'])

// isFar tells of a cell whose node does not answer, or is gone: more than its name is not known.
export const isFar = (report: CellReport): boolean => far.has(report.state ?? '')

// endingsOf a cell: what can still be done to it.
export function endingsOf(report: CellReport): Ending[] {
  if (isFar(report)) return []
  if (ended.has(report.state ?? '')) return ['close']
  return report.state === 'quarantined' ? ['kill', 'close'] : ['quarantine', 'kill', 'close']
}

export const endingWords: Record<Ending, string> = { quarantine: 'Quarantine', kill: 'Kill', close: 'Close' }

const calls = { quarantine: 'CellService/Quarantine', kill: 'CellService/Kill', close: 'CellService/Close' } as const

const consequences: Record<Ending, string> = {
  quarantine: 'Running code is interrupted, and nothing more runs in the cell. You can still inspect it and take its posts.',
  kill: 'The cell ends now. Running operations fail, and its state is lost. Its report stays for a while.',
  close:
    'Running operations are interrupted, and the cell ends. Its state is lost, its name becomes free, and the node forgets it.',
}

interface EndDialogProps {
  report: CellReport
  ending: Ending
  onClose: () => void
  onDone: () => void
}

// EndDialog ends the cell that it was opened for, and none that has its name since.
export function EndDialog({ report, ending, onClose, onDone }: EndDialogProps) {
  const [{ cell: { tenant, name } = {}, id }] = useState(report)
  const what = `${endingWords[ending]} ${tenant}/${name}`
  const act = async (reason: string) => {
    await call(calls[ending], ending === 'close' ? { tenant, name, id } : { tenant, name, id, reason })
    onDone()
  }
  return (
    <Confirm
      title={`${what}?`}
      what={what}
      yes={`${endingWords[ending]} it`}
      onClose={onClose}
      act={act}
      reason={ending === 'close' ? undefined : 'Reason (shown in its report)'}
    >
      <p>{consequences[ending]}</p>
    </Confirm>
  )
}
