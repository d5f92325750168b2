import { expect, it } from 'vitest'

import { percentOf, stateOf, wordsOf } from '../src/moves.ts'

it('a move is as far as its step, and in the copy as much as is copied', () => {
  expect(percentOf({})).toBe(0)
  expect(percentOf({ phase: 'freeze' })).toBe(10)
  expect(percentOf({ phase: 'copy' })).toBe(20)
  expect(percentOf({ phase: 'copy', copied: '512', size: '1024' })).toBe(50)
  expect(percentOf({ phase: 'copy', copied: '4096', size: '1024' })).toBe(80)
  expect(percentOf({ phase: 'copy', copied: 'x', size: 'y' })).toBe(20)
  expect(percentOf({ phase: 'done' })).toBe(100)
  expect(percentOf({ phase: 'a word that comes later' })).toBe(0)
})

it('a move is told in words', () => {
  expect(wordsOf({})).toBe('')
  expect(wordsOf({ phase: 'prepare' })).toBe('Asking the target')
  expect(wordsOf({ phase: 'copy', copied: '524288', size: '1048576', paused: '0.034s' })).toBe(
    'Copying its state, 512 KiB of 1.0 MiB, paused 34 ms',
  )
  expect(wordsOf({ phase: 'a word that comes later' })).toBe('a word that comes later')
})

it('a cell that moves says so, and one that has ended meanwhile does not', () => {
  const migration = { to: 'n2' }
  expect(stateOf({ state: 'running', migration })).toBe('moving')
  expect(stateOf({ state: 'running' })).toBe('running')
  expect(stateOf({ state: 'killed', migration })).toBe('killed')
  expect(stateOf({})).toBe('')
})
