// Every page, in each look and width, held to what a machine can tell of accessibility.

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

const pages: [string, string, string][] = [
  ['cells', '#/cells', 'Cells'],
  ['cell', '#/cells/team/etl', 'etl'],
  ['denials', '#/denials', 'Denials'],
  ['events', '#/events', 'Events'],
  ['policies', '#/policies', 'Policies'],
  ['policy', '#/policies/team%2Freader', 'team/reader'],
  ['history', '#/policies/team%2Freader/history', 'team/reader'],
  ['nodes', '#/nodes', 'Nodes'],
]

it('login', async () => {
  await expectAccessible(page)
  await shoot(page, 'look-login')
  await logIn(page, 'viewer')
})

describe.each(['light', 'dark'] as const)('%s', (look) => {
  it.each(pages)('%s', async (name, hash, heading) => {
    await page.getByLabel('Colours').selectOption(look)
    await page.evaluate((to) => (location.hash = to), hash)
    await page.getByRole('heading', { level: 1, name: heading }).waitFor()
    await page.waitForTimeout(name === 'policy' ? 1500 : 600)
    await shoot(page, `look-${name}-${look}`)
    await expectAccessible(page)
  })
})
