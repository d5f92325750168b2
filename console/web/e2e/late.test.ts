// What ends after the dialog or the page where it was begun has been left.

import type { Page } from 'playwright-core'
import { expect, it } from 'vitest'

import type { CellReport } from '../src/api/types.ts'
import { Refusal, type Answers } from './fake.ts'
import { open } from './faked.ts'
import { versions } from './sample.ts'

const report: CellReport = { cell: { tenant: 'team', name: 'etl' }, id: 'first', node: 'n1', state: 'running' }
const cell = '#/cells/team/etl'
const history = '#/policies/team%2Freader/history'

const press = (page: Page, name: string) => page.getByRole('button', { name, exact: true }).click()

const inDialog =
  (...names: string[]) =>
  async (page: Page) => {
    for (const name of names) await press(page, name)
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
  }

const begun: [string, string, keyof Answers, (page: Page) => Promise<void>, string][] = [
  ['Kill', cell, 'CellService/Kill', inDialog('Kill', 'Kill it'), 'Kill team/etl'],
  ['Take posts', cell, 'CellService/Recv', inDialog('Take posts…', 'Take them'), 'Take posts of team/etl'],
  [
    'Roll back',
    history,
    'PolicyService/Rollback',
    inDialog('Roll back to version 1', 'Roll back'),
    'Roll team/reader back to version 1',
  ],
  [
    'Checkpoint',
    cell,
    'CellService/Checkpoint',
    async (page) => {
      await press(page, 'Checkpoint now')
      await page.getByRole('link', { name: 'Nodes' }).click()
      await page.getByRole('heading', { level: 1, name: 'Nodes' }).waitFor()
    },
    'Checkpoint team/etl',
  ],
]

it.each(begun)('%s: its failure is told all the same', async (_, hash, method, begin, what) => {
  let fail = () => {}
  const failed = new Promise<Refusal>((done) => (fail = () => done(new Refusal('unavailable', { message: 'why it failed' }))))
  const page = await open(hash, {
    answers: {
      'CellService/Inspect': () => ({ report }),
      'PolicyService/History': () => ({ versions: versions() }),
      [method]: () => failed,
    },
  })
  await begin(page)
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  fail()
  const notice = page.getByRole('alert').filter({ hasText: 'why it failed' })
  await notice.waitFor()
  expect(await notice.textContent()).toContain(what)
  await notice.getByRole('button', { name: 'Dismiss' }).click()
  await notice.waitFor({ state: 'detached' })
})
