// Every page, in each look, held to what a machine can tell of accessibility.

import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { expectAccessible, logIn, openBrowser, shoot, type Browser } from './browser.ts'
import { serveFake, type Fake } from './fake.ts'
import { answers, streams } from './sample.ts'

let browser: Browser
let fake: Fake
let page: Page

beforeAll(async () => {
  fake = await serveFake(answers, streams)
  browser = await openBrowser()
  page = await browser.open(fake.url)
})

afterAll(async () => {
  await browser?.close()
  await fake?.close()
  expect(browser.complaints).toEqual([])
})

// Name, address, heading, and what is there when all is.
const pages: [string, string, string, string][] = [
  ['cells', '#/cells', 'Cells', '5 cells, 3 running'],
  ['cell', '#/cells/team/etl', 'etl', '12 lines are missing here'],
  ['denials', '#/denials', 'Denials', '4 denials'],
  ['events', '#/events', 'Events', '24 events'],
  ['policies', '#/policies', 'Policies', '2 policies'],
  ['policy', '#/policies/team%2Freader', 'team/reader', '✓ 1 sandbox'],
  ['history', '#/policies/team%2Freader/history', 'team/reader', 'it was needed'],
  ['nodes', '#/nodes', 'Nodes', 'seccomp'],
]

it('login', async () => {
  await expectAccessible(page)
  await shoot(page, 'look-login')
  await logIn(page, 'viewer')
})

describe.each(['light', 'dark'] as const)('%s', (look) => {
  it.each(pages)('%s', async (name, hash, heading, there) => {
    await page.getByLabel('Colours').selectOption(look)
    await page.evaluate((to) => (location.hash = to), hash)
    await page.getByRole('heading', { level: 1, name: heading }).waitFor()
    await page.getByText(there).first().waitFor()
    await shoot(page, `look-${name}-${look}`)
    await expectAccessible(page)
  })
})
