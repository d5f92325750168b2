// Awkward things that guests tell and people do: numbers without an end, long words in small
// windows, dialogs that are put away, texts of other systems, a node that hangs.

import { expect, it } from 'vitest'

import { logIn, shoot } from './browser.ts'
import { Refusal } from './fake.ts'
import { complaints, open } from './faked.ts'
import { write } from './fixture.ts'
import { answers, document, events, versions } from './sample.ts'

const forever = new Promise<never>(() => {})
const refused = new Refusal('unauthenticated', { kind: 'Unauthenticated', message: 'the token was revoked' })

it('metrics of any size are numbers of few digits, and none covers what is beside it', async () => {
  const values = [0.00012, 0.5, 1234567.25, 1e300, -1e300, 'Infinity', 'NaN', 'NaN', 999999999999999] as number[]
  const page = await open('#/cells/team/etl', {
    streams: {
      'CellService/Logs': async function* () {
        for (const [i, value] of values.entries()) yield { metric: { name: `m${i}`, value } }
        for (const value of [1e308, -1e308, ...values]) yield { metric: { name: 'n', value } }
        await forever
      },
    },
  })
  await page.getByRole('group', { name: 'Which output' }).getByRole('button', { name: 'Metrics' }).click()
  await page.locator('.metrics').getByText('m8').waitFor()
  const shown = page.locator('.metricvalue')
  expect(await shown.allTextContents()).toEqual([
    '0.00012',
    '0.5',
    '1,234,567.25',
    '1E300',
    '-1E300',
    'Infinity',
    'NaN',
    'NaN',
    '999,999,999,999,999',
    '999,999,999,999,999',
  ])
  expect(await shown.evaluateAll((all) => all.map((el) => el.scrollWidth - el.clientWidth).filter((wider) => wider > 0))).toEqual(
    [],
  )
  expect(complaints()).toEqual([])
})

it('whoever puts a dialog away is where he was', async () => {
  const page = await open('#/cells/team/etl')
  const opener = page.getByRole('button', { name: 'Take posts…' })
  for (const with_ of ['Cancel', 'Take them']) {
    await opener.focus()
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').getByRole('button', { name: with_ }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    expect(await opener.evaluate((el) => el === el.ownerDocument.activeElement), `after ${with_}`).toBe(true)
  }
})

it('what happened can be read in a small window', async () => {
  const what = 'host started: process 15529 of backend subinterpreter'
  const page = await open('#/events', {
    streams: {
      'NodeService/Events': async function* () {
        for (const event of events) yield { event: { ...event, message: what } }
        await forever
      },
    },
  })
  await page.setViewportSize({ width: 360, height: 740 })
  await page.getByText(what).first().waitFor({ state: 'attached' })
  const [width, height] = await page
    .getByText(what)
    .first()
    .evaluate((el) => [el.clientWidth || el.getBoundingClientRect().width, el.getBoundingClientRect().height])
  expect(width, `it is ${height} high`).toBeGreaterThan(150)
  await shoot(page, 'small-events')
})

it('a node that has hung is asked again soon, and it is said that it did', async () => {
  let asked = 0
  const page = await open('#/nodes', {
    answers: { 'NodeService/ListNodes': (r, token) => (asked++ === 0 ? forever : answers['NodeService/ListNodes']!(r, token)) },
  })
  await page.getByRole('alert').getByText('the node has not answered in time').waitFor({ timeout: 30_000 })
  await page.getByText('node-1').waitFor({ timeout: 40_000 })
})

it('an editor that cannot be loaded is said to be missing', async () => {
  const page = await open('#/cells')
  await page.route(/editor-.*\.js/, (r) => r.abort())
  await page.evaluate(() => (location.hash = '#/policies/team%2Freader'))
  await page.getByRole('alert').getByText('The editor could not be loaded').waitFor()
  expect(await page.getByText('Completion is off').count()).toBe(0)
})

it('a document of another system is not changed by being looked at', async () => {
  const text = document.replaceAll('\n', '\r\n')
  const page = await open('#/policies/team%2Freader', {
    answers: { 'PolicyService/Get': () => ({ version: { ...versions()[0], text: Buffer.from(text).toString('base64') } }) },
  })
  await page.getByText('version 3', { exact: true }).waitFor()
  await page.locator('.cm-content').first().click()
  await page.keyboard.type('x')
  await page.getByText('version 3, changed').waitFor()
  await page.keyboard.press('Backspace')
  await page.getByText('version 3', { exact: true }).waitFor()
})

it('a verdict by the stored version is of the one that is stored now', async () => {
  let allowed = false
  const page = await open('#/policies/team%2Freader', {
    answers: {
      'PolicyService/Explain': () => ({ allowed, why: 'by the rules' }),
      'PolicyService/Put': () => ({ version: { ...versions()[0], number: '4' } }),
    },
  })
  await page.getByLabel('An absolute path').fill('/srv')
  await page.getByLabel('Check against').selectOption('live')
  await page.getByRole('button', { name: 'Try', exact: true }).click()
  await page.locator('.verdict.denied').waitFor()
  await write(page, document + '# more\n')
  await page.getByText('version 3, changed').waitFor()
  allowed = true
  await page.getByRole('button', { name: 'Save…' }).click()
  await page.getByRole('button', { name: 'Save', exact: true }).click()
  await page.getByText('Saved as version 4').waitFor()
  await page.locator('.verdict.allowed').waitFor()
})

it('what was being written when the session ended is asked about before the page is closed', async () => {
  let known = true
  const page = await open('#/policies/team%2Freader', {
    answers: {
      'PolicyService/History': () => (known ? { versions: versions() } : refused),
    },
  })
  await page.getByText('version 3', { exact: true }).waitFor()
  await write(page, document + '# mine\n')
  await page.getByText('version 3, changed').waitFor()
  known = false
  await page.getByRole('button', { name: 'Log in' }).waitFor()
  expect(await page.getByLabel('Token').evaluate((el) => el === el.ownerDocument.activeElement)).toBe(true)
  let asked = 0
  page.on('dialog', (d) => {
    asked++
    void d.dismiss()
  })
  await page.evaluate(() => location.reload())
  await expect.poll(() => asked).toBe(1)
  known = true
  await logIn(page, 'operator')
  await page.getByText('version 3, changed').waitFor()
})

it('a text is not looked at anew with each key, only after the last', async () => {
  const page = await open('#/policies/team%2Freader', { answers: { 'PolicyService/Check': () => forever } })
  await page.locator('.cm-content').waitFor()
  await page.getByText('checking…').waitFor()
  await page.clock.install()
  await page.clock.pauseAt(Date.now() + 60_000)
  await page.locator('.cm-content').first().click()
  await page.keyboard.press('Control+Home')
  await page.keyboard.type('versionz: 1\n')
  await page.locator('.cm-line').getByText('versionz').waitFor()
  expect(await page.locator('.cm-lintRange-error').count()).toBe(0)
  await page.clock.runFor(1000)
  await page.locator('.cm-lintRange-error').first().waitFor({ state: 'attached' })
})

it('a long post is shown in part, and whole when somebody says so', async () => {
  const long = 'x'.repeat(100_000)
  const page = await open('#/cells/team/etl', {
    answers: { 'CellService/Recv': () => ({ items: [{ post: { json: long } }, { post: { json: 'short' } }] }) },
  })
  await page.getByRole('button', { name: 'Take posts…' }).click()
  await page.getByRole('button', { name: 'Take them' }).click()
  const posts = page.locator('.posts')
  await posts.getByText('short').waitFor()
  const shown = () =>
    posts
      .locator('code')
      .first()
      .evaluate((el) => el.textContent!.length)
  expect(await shown()).toBeLessThan(20_000)
  await posts.getByText('… 83616 more characters').waitFor()
  await posts.getByRole('button', { name: 'Show it all' }).click()
  await expect.poll(shown).toBe(long.length)
  expect(await posts.getByRole('button').count()).toBe(0)
})
