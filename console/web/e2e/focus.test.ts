// By keyboard: when what had the focus is taken off the page, something near to it has it.

import { expect, it } from 'vitest'
import type { Page } from 'playwright-core'

import type { CellReport } from '../src/api/types.ts'
import { open } from './faked.ts'
import { cells } from './sample.ts'

const report: CellReport = { cell: { tenant: 'team', name: 'etl' }, id: 'first', node: 'n1', state: 'running' }

const focused = (page: Page) =>
  page.evaluate(() => `${document.activeElement?.tagName.toLowerCase()} ${document.activeElement?.textContent ?? ''}`)

const pressed = async (page: Page, name: string) => {
  await page.getByRole('button', { name, exact: true }).focus()
  await page.keyboard.press('Enter')
}

it('Kill on a page: its heading', async () => {
  let state = 'running'
  const page = await open('#/cells/team/etl', {
    answers: {
      'CellService/Inspect': () => ({ report: { ...report, state } }),
      'CellService/Kill': () => ((state = 'killed'), {}),
    },
  })
  await pressed(page, 'Kill')
  await pressed(page, 'Kill it')
  await page.getByRole('button', { name: 'Kill', exact: true }).waitFor({ state: 'detached' })
  await expect.poll(() => focused(page)).toBe('h1 etl')
})

it('Kill and Close in a list: the row, then the one that takes its place', async () => {
  let reports = cells(3).map((r) => ({ ...r, state: 'running' }))
  const page = await open('#/cells', {
    answers: {
      'CellService/List': () => ({ reports }),
      'CellService/Kill': ({ id }) => ((reports = reports.map((r) => (r.id === id ? { ...r, state: 'killed' } : r))), {}),
      'CellService/Close': ({ id }) => ((reports = reports.filter((r) => r.id !== id)), {}),
    },
  })
  await pressed(page, 'Kill team/etl')
  await pressed(page, 'Kill it')
  await expect.poll(() => focused(page)).toMatch(/^tr team\/etlkilled/)
  await pressed(page, 'Close team/etl')
  await pressed(page, 'Close it')
  await expect.poll(() => focused(page)).toMatch(/^tr team\/scrape/)
})

it('Stop: the heading of the box, so that the key does not run it again', async () => {
  const page = await open('#/cells/team/etl', {
    answers: { 'CellService/Inspect': () => ({ report }), 'CellService/Exec': () => new Promise(() => {}) },
  })
  await page.getByLabel('Run Python').fill('1')
  await page.getByLabel('Run Python').press('Control+Enter')
  await pressed(page, 'Stop')
  await page.getByText('you stopped it').waitFor()
  await expect.poll(() => focused(page)).toBe('h2 Run Python')
})
