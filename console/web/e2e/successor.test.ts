// A cell ends while somebody is asked about it, and another one gets its name: what was asked
// about the first is not done to the second.

import type { Page } from 'playwright-core'
import { expect, it } from 'vitest'

import type { CellReport } from '../src/api/types.ts'
import { Refusal, type Answers, type Streaming } from './fake.ts'
import { open } from './faked.ts'
import { node } from './sample.ts'

const cell = { tenant: 'team', name: 'etl' }
const first: CellReport = { cell, id: 'first', node: 'n1', state: 'running', backend: 'process' }
const second: CellReport = { ...first, id: 'second', backend: 'subinterpreter' }

const ended = new Refusal('failed_precondition', { kind: 'CellGone', message: 'the cell of this id has ended' })

// openFirst opens a page on the first cell. What is asked of a cell is kept; `follow` waits until
// the page knows the second one. A slow node tells of no cell until it is told to.
async function openFirst(hash: string, slow = false) {
  let now = first
  let tell = () => {}
  const told = new Promise<void>((done) => (tell = done))
  if (!slow) tell()
  const asked: unknown[] = []
  const ask = (request: unknown) => {
    asked.push(request)
    return ended
  }
  const more: Answers = {
    'CellService/Inspect': () => told.then(() => ({ report: now })),
    'CellService/List': () => ({ reports: [now] }),
    'NodeService/ListNodes': () => ({ nodes: ['n1', 'n2'].map((id) => ({ ...node, id })) }),
    'CellService/Quarantine': ask,
    'CellService/Kill': ask,
    'CellService/Close': ask,
    'CellService/Recv': ask,
    'CellService/Exec': ask,
  }
  const moves: Streaming = { 'CellService/Migrate': ask }
  const page = await open(hash, { answers: more, streams: moves })
  const follow = async () => {
    now = second
    await page.getByText('subinterpreter').waitFor()
  }
  return { page, asked, follow, tell }
}

const press = (page: Page, name: string) => page.getByRole('button', { name, exact: true }).click()

const one = '#/cells/team/etl'

it.each([
  ['Quarantine', one, 'Quarantine', 'Quarantine it', { reason: '' }],
  ['Kill', one, 'Kill', 'Kill it', { reason: '' }],
  ['Close', one, 'Close', 'Close it', {}],
  ['Kill in the list', '#/cells', 'Kill team/etl', 'Kill it', { reason: '' }],
  ['Close in the list', '#/cells', 'Close team/etl', 'Close it', {}],
  ['Move', one, 'Move…', 'Move it', { node: 'n2' }],
])('%s', async (_, hash, what, yes, more) => {
  const { page, asked, follow } = await openFirst(hash)
  await press(page, what)
  await follow()
  await press(page, yes)
  await page.getByRole('dialog').getByRole('alert').getByText('the cell of this id has ended').waitFor()
  expect(asked).toEqual([{ ...cell, id: 'first', ...more }])
})

it('Take posts', async () => {
  const { page, asked, follow } = await openFirst(one)
  await press(page, 'Take posts…')
  await follow()
  await press(page, 'Take them')
  await page.getByText('the cell of this id has ended').waitFor()
  expect(asked).toMatchObject([{ ...cell, id: 'first' }])
})

it('Run, until the page is told to go on with the new cell', async () => {
  const { page, asked, follow } = await openFirst(one)
  await page.getByLabel('Run Python').fill('1')
  await follow()
  await press(page, 'Run')
  await page.getByText('the cell of this id has ended').waitFor()
  await press(page, 'Use the new cell')
  await page.getByRole('button', { name: 'Use the new cell' }).waitFor({ state: 'detached' })
  await page.getByLabel('Run Python').press('Control+Enter')
  await expect.poll(() => asked.length).toBe(2)
  expect(asked).toEqual(['first', 'second'].map((id) => ({ ...cell, id, code: '1' })))
})

it('Nothing is run before it is known in which cell', async () => {
  const { page, asked, tell } = await openFirst(one, true)
  const code = page.getByLabel('Run Python')
  await code.fill('1')
  const run = page.getByRole('button', { name: 'Run', exact: true })
  expect(await run.isDisabled()).toBe(true)
  await code.press('Control+Enter')
  tell()
  await run.click()
  await page.getByText('the cell of this id has ended').waitFor()
  expect(asked).toEqual([{ ...cell, id: 'first', code: '1' }])
})

it('Posts are not to be taken before it is known whose they are', async () => {
  const { page, tell } = await openFirst(one, true)
  const take = page.getByRole('button', { name: 'Take posts…' })
  await take.waitFor()
  expect(await take.isDisabled()).toBe(true)
  tell()
  await take.click()
  await page.getByRole('button', { name: 'Take them' }).waitFor()
})
