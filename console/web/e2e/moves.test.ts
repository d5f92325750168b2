// Moves of cells between nodes, as a node tells of them: how far they are, their end, and their ways to fail.

import { expect, it } from 'vitest'

import type { AbortMigrationRequest, CellReport, MigrateRequest, MigrateResponse } from '../src/api/types.ts'
import { expectAccessible, shoot } from './browser.ts'
import { Refusal, type Answers, type Streaming } from './fake.ts'
import { open } from './faked.ts'
import { node } from './sample.ts'

const report: CellReport = { cell: { tenant: 'team', name: 'one' }, id: '7', node: 'n1', state: 'running', epoch: '3' }

async function openCell(one: () => CellReport, more: { answers?: Answers; streams?: Streaming } = {}) {
  const cluster: Answers = {
    'CellService/Inspect': () => ({ report: one() }),
    'CellService/List': () => ({ reports: [one(), { ...report, cell: { tenant: 'team', name: 'two' }, id: '8', node: 'n2' }] }),
    'NodeService/ListNodes': () => ({
      nodes: ['n1', 'n2', 'n3'].map((id) => ({ ...node, id, state: id === 'n3' ? 'draining' : 'ready' })),
    }),
  }
  return open('#/cells/team/one', { answers: { ...cluster, ...more.answers }, streams: more.streams })
}

it('a cell is moved, and how far that is is shown to its end', async () => {
  const asked: MigrateRequest[] = []
  let next = () => {}
  const waited = () => new Promise<void>((done) => (next = done))
  const page = await openCell(() => report, {
    streams: {
      'CellService/Migrate': async function* (request): AsyncGenerator<MigrateResponse> {
        asked.push(request)
        yield { phase: 'copy', copied: '524288', size: '1048576', paused: '0.034s', epoch: '3', node: 'n1' }
        await waited()
        yield { phase: 'done', copied: '1048576', size: '1048576', paused: '0.050s', epoch: '4', node: 'n2' }
      },
    },
  })
  await page.getByRole('button', { name: 'Move…' }).click()
  const dialog = page.getByRole('dialog')
  // Neither where it is, nor where no cells are taken.
  expect(await dialog.getByRole('option').allTextContents()).toEqual(['n2'])
  await dialog.getByRole('button', { name: 'Move it' }).click()
  await dialog.getByText('512 KiB of 1.0 MiB, paused 34 ms').waitFor()
  const bar = dialog.getByRole('progressbar', { name: 'Move to n2' })
  expect(await bar.getAttribute('value')).toBe('50')
  await expectAccessible(page)
  await shoot(page, 'cell-moves')
  next()
  await dialog.getByText('Moved').waitFor()
  expect(await bar.getAttribute('value')).toBe('100')
  await dialog.getByRole('button', { name: 'Close' }).click()
  expect(asked).toEqual([{ tenant: 'team', name: 'one', id: '7', node: 'n2' }])
})

it('why a cell was not moved is said', async () => {
  const refused = new Refusal('failed_precondition', { kind: 'NotCheckpointable', message: "globals['x']: lock" })
  const page = await openCell(() => report, { streams: { 'CellService/Migrate': () => refused } })
  await page.getByRole('button', { name: 'Move…' }).click()
  await page.getByRole('button', { name: 'Move it' }).click()
  await page.getByRole('dialog').getByRole('alert').getByText("globals['x']: lock").waitFor()
})

it('a stream that ends before the move does is not taken for its end', async () => {
  const page = await openCell(() => report, {
    streams: {
      'CellService/Migrate': async function* () {
        yield { phase: 'activate' }
      },
    },
  })
  await page.getByRole('button', { name: 'Move…' }).click()
  await page.getByRole('button', { name: 'Move it' }).click()
  await page.getByRole('dialog').getByRole('alert').getByText('did not say how the move ended').waitFor()
})

it('a move that somebody else has begun is shown, and can be aborted', async () => {
  let moving = true
  const aborted: AbortMigrationRequest[] = []
  const page = await openCell(
    () => (moving ? { ...report, migration: { to: 'n2', phase: 'copy', copied: '256', size: '1024', paused: '0.2s' } } : report),
    {
      answers: {
        'CellService/AbortMigration': (request) => {
          aborted.push(request)
          moving = false
          return {}
        },
      },
    },
  )
  await page.getByRole('heading', { name: 'Moving to n2' }).waitFor()
  expect(await page.getByRole('progressbar', { name: 'Move to n2' }).getAttribute('value')).toBe('35')
  expect(await page.getByRole('button', { name: 'Move…' }).count()).toBe(0)
  await page.evaluate(() => (location.hash = '#/cells'))
  await page.getByRole('cell', { name: 'n1 → n2' }).waitFor()
  await page.evaluate(() => (location.hash = '#/cells/team/one'))
  await page.getByRole('button', { name: 'Abort the move' }).click()
  await page.getByRole('heading', { name: 'Moving to n2' }).waitFor({ state: 'detached' })
  expect(aborted).toEqual([{ tenant: 'team', name: 'one', id: '7' }])
})
