// How far moves of cells are, for people.

import type { CellReport } from './api/types.ts'
import { bytes, duration, seconds } from './format.ts'

// Steps of a move in their order, in words of people, and how much of it is done when each begins.
const steps: Record<string, { words: string; from: number; to: number }> = {
  prepare: { words: 'Asking the target', from: 0, to: 10 },
  freeze: { words: 'Saving its state', from: 10, to: 20 },
  copy: { words: 'Copying its state', from: 20, to: 80 },
  activate: { words: 'Starting on the target', from: 80, to: 90 },
  collect: { words: 'Forwarding what waited', from: 90, to: 100 },
  done: { words: 'Moved', from: 100, to: 100 },
  abort: { words: 'Not moved', from: 0, to: 0 },
}

// Progress of a move, as a step of Migrate or a report has it.
export interface Progress {
  phase?: string
  copied?: string
  size?: string
  paused?: string
}

// percentOf a move is done: while its state is copied by that, else by the step.
export function percentOf({ phase, copied, size }: Progress): number {
  const step = steps[phase ?? ''] ?? { from: 0, to: 0 }
  const whole = Number(size ?? 0)
  if (phase !== 'copy' || !(whole > 0)) return step.from
  return step.from + (step.to - step.from) * Math.min(1, Number(copied ?? 0) / whole)
}

// wordsOf a move: what is being done, how much of the state is copied, and how long the cell has paused.
export function wordsOf({ phase, copied, size, paused }: Progress): string {
  const said = [steps[phase ?? '']?.words ?? phase ?? '']
  if (Number(size ?? 0) > 0) said.push(`${bytes(copied)} of ${bytes(size)}`)
  if (seconds(paused) > 0) said.push(`paused ${duration(seconds(paused))}`)
  return said.join(', ')
}

// stateOf a cell, in one word: while it moves it is neither here nor there.
export const stateOf = (r: CellReport): string => (r.migration && r.state === 'running' ? 'moving' : (r.state ?? ''))
