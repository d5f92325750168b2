// Checkpoints of a cell, as a node tells of them; and the states of cells that have no node of their own.

import { expect, it } from 'vitest'

import type { CellReport, CheckpointRequest, DeleteCheckpointRequest, RestoreRequest } from '../src/api/types.ts'
import { expectAccessible, shoot } from './browser.ts'
import { Refusal, type Answers } from './fake.ts'
import { open } from './faked.ts'
import { checkpoint } from './sample.ts'

const report: CellReport = { cell: { tenant: 'team', name: 'one' }, id: '7', node: 'n1', state: 'running', epoch: '3' }

const openCell = (more: Answers) => open('#/cells/team/one', { answers: { 'CellService/Inspect': () => ({ report }), ...more } })

it('are taken, listed with their copies, and deleted when somebody says so twice', async () => {
  let all = [checkpoint()]
  const taken: CheckpointRequest[] = []
  const deleted: DeleteCheckpointRequest[] = []
  const page = await openCell({
    'CellService/ListCheckpoints': () => ({ checkpoints: all, silent: ['n3'] }),
    'CellService/Checkpoint': (request) => {
      taken.push(request)
      const one = checkpoint({ id: 'beef'.padEnd(64, '1'), nodes: ['n1'] })
      all = [one, ...all]
      return { checkpoint: one }
    },
    'CellService/DeleteCheckpoint': (request) => {
      deleted.push(request)
      all = all.filter((c) => c.id !== request.id)
      return {}
    },
  })
  const rows = page.getByRole('region', { name: 'Checkpoints of one' }).getByRole('row')
  await rows.getByText('3f1c09aa51e7').waitFor()
  expect(await rows.nth(1).locator('td').allTextContents()).toEqual([
    '3f1c09aa51e7',
    expect.stringContaining('ago'),
    '512 KiB',
    '3',
    'n1, n2',
    'Restore…Delete…',
  ])
  await page.getByText('1 node did not answer: n3.').waitFor()
  await page.getByRole('button', { name: 'Checkpoint now' }).click()
  await page.getByText('Saved as beef11111111.').waitFor()
  await rows.getByText('beef11111111').waitFor()
  expect(taken).toEqual([{ tenant: 'team', name: 'one', id: '7', requestId: expect.any(String) }])
  await expectAccessible(page)
  await shoot(page, 'cell-checkpoints')
  await rows.getByRole('button', { name: 'Delete beef11111111' }).click()
  await page.getByRole('button', { name: 'Cancel' }).click()
  expect(deleted).toEqual([])
  await rows.getByRole('button', { name: 'Delete beef11111111' }).click()
  await page.getByRole('button', { name: 'Delete it' }).click()
  await rows.getByText('beef11111111').waitFor({ state: 'detached' })
  expect(deleted).toEqual([{ id: 'beef'.padEnd(64, '1') }])
})

it('are restored under another name while theirs is taken', async () => {
  const asked: RestoreRequest[] = []
  const page = await openCell({
    'CellService/Restore': (request) => {
      asked.push(request)
      return asked.length === 1
        ? new Refusal('invalid_argument', { kind: 'Invalid', message: 'the name is taken' })
        : { cell: { tenant: 'team', name: request.name } }
    },
  })
  await page.getByRole('button', { name: 'Restore 3f1c09aa51e7' }).click()
  const dialog = page.getByRole('dialog')
  expect(await dialog.getByLabel('Name').inputValue()).toBe('one-2')
  await expectAccessible(page)
  await dialog.getByRole('button', { name: 'Restore it' }).click()
  await dialog.getByRole('alert').getByText('the name is taken').waitFor()
  await dialog.getByLabel('Name').fill('a b')
  await dialog.getByRole('button', { name: 'Restore it' }).click()
  expect(asked.length).toBe(1) // the browser says what is wrong with it
  await dialog.getByLabel('Name').fill('three')
  await dialog.getByRole('button', { name: 'Restore it' }).click()
  await page.getByRole('heading', { level: 1, name: 'three' }).waitFor()
  expect(asked.map((r) => [r.id, r.tenant, r.name])).toEqual([
    [checkpoint().id, 'team', 'one-2'],
    [checkpoint().id, 'team', 'three'],
  ])
})

it('a restore whose answer was lost is the same one when it is told again, and another by another name', async () => {
  const asked: RestoreRequest[] = []
  const page = await openCell({
    'CellService/Restore': (request) => {
      asked.push(request)
      return new Refusal('unavailable', { kind: 'Unavailable', message: `no answer to the ${asked.length}.` })
    },
  })
  await page.getByRole('button', { name: 'Restore 3f1c09aa51e7' }).click()
  const dialog = page.getByRole('dialog')
  for (const n of [1, 2, 3]) {
    if (n === 3) await dialog.getByLabel('Name').fill('three')
    await dialog.getByRole('button', { name: 'Restore it' }).click()
    await dialog.getByRole('alert').getByText(`no answer to the ${n}.`).waitFor()
  }
  const [first, again, other] = asked.map((r) => r.requestId)
  expect(first).toMatch(/^[0-9a-f]{32}$/)
  expect(again).toBe(first)
  expect(other).not.toBe(first)
})

it('a restore whose dialog was closed before its answer came leads nowhere', async () => {
  let answer = () => {}
  const late = new Promise<{}>((done) => (answer = () => done({})))
  const page = await openCell({
    'CellService/Restore': async ({ name }) => {
      await late
      return { cell: { tenant: 'team', name } }
    },
  })
  await page.getByRole('button', { name: 'Restore 3f1c09aa51e7' }).click()
  const answered = page.waitForResponse((r) => r.url().endsWith('CellService/Restore'))
  await page.getByRole('button', { name: 'Restore it' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  answer()
  await (await answered).finished()
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))))
  expect(await page.evaluate(() => location.hash)).toBe('#/cells/team/one')
})

it('are there when their cell is not, and restored under its name', async () => {
  const page = await openCell({
    'CellService/Inspect': () => new Refusal('not_found', { kind: 'CellGone', message: 'the node of team/one is gone' }),
  })
  await page.getByRole('alert').getByText('the node of team/one is gone').waitFor()
  expect(await page.getByRole('button', { name: 'Checkpoint now' }).count()).toBe(0)
  await page.getByRole('button', { name: 'Restore 3f1c09aa51e7' }).click()
  expect(await page.getByRole('dialog').getByLabel('Name').inputValue()).toBe('one')
})

it('why one was not taken is said, and so is an answer without one', async () => {
  let answer: ReturnType<NonNullable<Answers['CellService/Checkpoint']>> = {}
  const page = await openCell({ 'CellService/Checkpoint': () => answer })
  await page.getByRole('button', { name: 'Checkpoint now' }).click()
  await page.getByRole('alert').getByText('did not say what it has saved').waitFor()
  answer = new Refusal('failed_precondition', { kind: 'NotCheckpointable', message: "globals['x']: lock" })
  await page.getByRole('button', { name: 'Checkpoint now' }).click()
  await page.getByRole('alert').getByText("globals['x']: lock").waitFor()
})

it('one that is sealed sealed to another key, or says nothing of itself, is not restored or shown as more', async () => {
  const sealed = checkpoint({ recipient: 'key-abc' })
  const page = await openCell({ 'CellService/ListCheckpoints': () => ({ checkpoints: [sealed, {}] }) })
  const rows = page.getByRole('region', { name: 'Checkpoints of one' }).getByRole('row')
  await rows.getByText('sealed to another key').waitFor()
  expect(await rows.count()).toBe(3)
  expect(await page.getByRole('button', { name: 'Restore 3f1c09aa51e7' }).count()).toBe(0)
})

it('cells that move, or wait for a node that has their checkpoint, say so', async () => {
  const reason = 'its node is gone: restore checkpoint 3f1c by its name'
  const page = await openCell({
    'CellService/List': () => ({
      reports: [
        { ...report, migration: { to: 'n2', phase: 'copy' } },
        { cell: { tenant: 'team', name: 'two' }, state: 'suspended', node: 'n2', reason },
      ],
    }),
  })
  await page.evaluate(() => (location.hash = '#/cells'))
  await page.getByRole('cell', { name: 'moving' }).waitFor()
  expect(await page.getByText('suspended').locator('..').getAttribute('title')).toBe(reason)
  expect(await page.getByRole('button', { name: 'Kill team/two' }).count()).toBe(0)
  await expectAccessible(page)
})
