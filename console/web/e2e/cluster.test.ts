// Cells of a cluster of three nodes, as people see and move them in a browser that is on one of the nodes.

import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'

import { expectAccessible, logIn, openBrowser, shoot, type Browser } from './browser.ts'
import { startCluster, type Cluster } from './cluster.ts'

let cluster: Cluster
let browser: Browser
let page: Page

beforeAll(async () => {
  cluster = await startCluster(3)
  browser = await openBrowser()
  page = await browser.open(cluster.nodes[0]!.url)
  await logIn(page, await cluster.nodes[0]!.token('operator'))
})

afterAll(async () => {
  await browser?.close()
  await cluster?.close()
})

const cell = { tenant: 'team', name: 'one' }
const call: Cluster['nodes'][0]['call'] = (method, body) => cluster.nodes[0]!.call(method, body)
const inspect = async () => (await call('CellService/Inspect', cell)).report
const open = async (name: string) => {
  await page.evaluate((to) => (location.hash = to), `#/cells/team/${name}`)
  await page.getByRole('heading', { level: 1, name, exact: true }).waitFor()
}
const kept = () => page.getByRole('region', { name: 'Checkpoints of one' }).getByRole('row')

it('a cell is moved to a node that is chosen, and goes on there', async () => {
  await call('CellService/Spawn', { ...cell, placement: { node: 'n2' }, checkpoint: { messages: '1000', replicas: 1 } })
  await call('CellService/Exec', { ...cell, code: 'n = 7' })
  await open('one')
  await page.getByRole('button', { name: 'Move…' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Node').selectOption('n3')
  await dialog.getByRole('button', { name: 'Move it' }).click()
  await dialog.getByText('Moved').waitFor()
  expect(await dialog.getByRole('progressbar').getAttribute('value')).toBe('100')
  await shoot(page, 'cluster-moved')
  await dialog.getByRole('button', { name: 'Close' }).click()
  expect((await inspect())?.node).toBe('n3')
  await call('CellService/Exec', { ...cell, code: 'post(n)' })
  expect((await call('CellService/Recv', cell)).items?.[0]?.post?.json).toBe('7')
})

it('a cell that holds what cannot be carried stays, and the place is said', async () => {
  await call('CellService/Spawn', { tenant: 'team', name: 'fixed', placement: { node: 'n2' } })
  await call('CellService/Exec', { tenant: 'team', name: 'fixed', code: 'clock = (n for n in range(3))' })
  await open('fixed')
  await page.getByRole('button', { name: 'Checkpoint now' }).click()
  await page.getByRole('alert').getByText("globals['clock']: generator").waitFor()
  await page.getByRole('button', { name: 'Move…' }).click()
  await page.getByRole('button', { name: 'Move it' }).click()
  await page.getByRole('dialog').getByRole('alert').getByText("globals['clock']: generator").waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click()
})

it('its state is kept, with a copy at another node, and restored', async () => {
  await open('one')
  await page.getByRole('button', { name: 'Checkpoint now' }).click()
  const said = await page.getByText(/Saved as \w+/).textContent()
  const row = kept().filter({ hasText: /Saved as (\w+)/.exec(said ?? '')?.[1] })
  await expect.poll(() => row.locator('td').nth(4).textContent(), { timeout: 60_000 }).toMatch(/n\d, n\d/)
  await expectAccessible(page)
  await shoot(page, 'cluster-checkpoints')
  await row.getByRole('button', { name: 'Restore' }).click()
  await page.getByRole('dialog').getByLabel('Name').fill('other')
  await page.getByRole('button', { name: 'Restore it' }).click()
  await page.getByRole('heading', { level: 1, name: 'other' }).waitFor()
  await call('CellService/Exec', { tenant: 'team', name: 'other', code: 'post(n + 1)' })
  expect((await call('CellService/Recv', { tenant: 'team', name: 'other' })).items?.[0]?.post?.json).toBe('8')
})

it('a cell whose node is killed is seen to go on elsewhere', async () => {
  const before = await inspect()
  await open('one')
  await cluster.nodes[2]!.kill()
  await expect.poll(async () => (await inspect().catch(() => undefined))?.node, { timeout: 60_000 }).toMatch(/^n[12]$/)
  await expect.poll(() => page.locator('.facts').first().textContent(), { timeout: 60_000 }).toMatch(/Node *n[12]/)
  expect((await inspect())?.id).toBe(before?.id)
  await call('CellService/Exec', { ...cell, code: 'post(n)' })
  expect(browser.complaints).toEqual([])
})
