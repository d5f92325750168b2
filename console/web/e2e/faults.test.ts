// What a node seldom does: many cells, streams that break off, words that want to be more
// than words.

import type { Page } from 'playwright-core'
import { expect, it } from 'vitest'

import type { CellReport, EventsResponse } from '../src/api/types.ts'
import { shoot } from './browser.ts'
import { Refusal } from './fake.ts'
import { complaints, held, open } from './faked.ts'
import { answers, cells, logs, node, versions } from './sample.ts'

// show has a page believe that it is seen, or not.
const show = (page: Page, state: DocumentVisibilityState) =>
  page.evaluate((state) => {
    Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => state })
    document.dispatchEvent(new Event('visibilitychange'))
  }, state)

const event = (index: number): EventsResponse => ({
  event: {
    index: String(index),
    kind: 'CELL_STARTED',
    cell: { tenant: 'team', name: `c${index}` },
    at: new Date().toISOString(),
  },
})

it('four thousand cells are one page that answers', async () => {
  const page = await open('#/cells', { answers: { 'CellService/List': () => ({ reports: cells(4096) }) } })
  await page.getByText('4096 cells').waitFor()
  await page.getByText('3596 more rows').waitFor()
  const began = Date.now()
  await page.getByLabel('Filter by any word').fill('etl-4091')
  await page.getByText('4095 hidden by the filter').waitFor()
  expect(Date.now() - began).toBeLessThan(3000)
})

it('long names push nothing away', async () => {
  const [tenant, name] = ['t'.repeat(64), 'n'.repeat(64)]
  const [one, other] = cells(2) as [CellReport, CellReport]
  const long = { ...one, cell: { tenant, name }, state: 'running', policy: { ref: { name: `${tenant}/${name}` }, version: '1' } }
  const page = await open('#/cells', {
    answers: { 'CellService/List': () => ({ reports: [long, other] }), 'CellService/Inspect': () => ({ report: long }) },
  })
  const kill = page.getByRole('button', { name: `Kill ${tenant}/${name}` })
  const { x, width } = (await kill.boundingBox())!
  expect(x + width).toBeLessThan(1280)
  const link = (await page
    .getByRole('link', { name: `${tenant}/${name}` })
    .first()
    .boundingBox())!
  const state = (await page.getByRole('row').filter({ hasText: name }).getByText('running').boundingBox())!
  expect(state.y - link.y).toBeLessThan(20) // on the first line
  await shoot(page, 'long-cells')
  await page.setViewportSize({ width: 360, height: 800 })
  const tooWide = () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
  expect(await tooWide()).toBe(0)
  await kill.click()
  const dialog = page.getByRole('dialog')
  expect(await dialog.evaluate((el) => el.scrollWidth - el.clientWidth)).toBe(0)
  await shoot(page, 'long-kill')
  await dialog.getByRole('button', { name: 'Cancel' }).click()
  await page.evaluate((to) => (location.hash = to), `#/cells/${tenant}/${name}`)
  await page.getByRole('heading', { level: 1, name }).waitFor()
  await page.getByText('Report', { exact: true }).waitFor()
  expect(await tooWide()).toBe(0)
  await shoot(page, 'long-cell')
})

it('a stream that breaks off is taken up again, and nothing is there twice', async () => {
  let opened = 0
  const page = await open('#/events', {
    streams: {
      'NodeService/Events': async function* () {
        const again = ++opened > 1
        for (let i = 1; i <= (again ? 4 : 3); i++) yield event(i)
        yield { lost: '7' }
        if (!again) throw new Error('cut off')
        await new Promise(() => {})
      },
    },
  })
  await page.getByRole('link', { name: 'team/c4' }).waitFor()
  await page.getByText('4 events', { exact: true }).waitFor()
  await page.getByText('7 events came faster').waitFor()
  expect(opened).toBe(2)
})

it('a node that is away is said to be, and comes back', async () => {
  let away = true
  const page = await open('#/nodes', {
    answers: {
      'NodeService/ListNodes': () =>
        away
          ? new Refusal('unavailable', { kind: 'Unavailable', message: 'the node ends' })
          : answers['NodeService/ListNodes']!({}, ''),
    },
  })
  await page.getByRole('alert').getByText('the node ends').waitFor()
  away = false
  await page.getByText('node-1').waitFor()
  await page.getByRole('alert').waitFor({ state: 'detached' })
})

it('nodes that do not answer, and cells that were there, are told apart from those that are well', async () => {
  const far = (name: string, state: string, at: string) => ({ cell: { tenant: 'team', name }, state, node: at, reason: 'why' })
  const page = await open('#/cells', {
    answers: {
      'CellService/List': () => ({
        reports: [...cells(2), far('one', 'unknown', 'n2'), far('two', 'unknown', 'n2'), far('three', 'lost', 'n3')],
        silent: ['n2'],
      }),
      'NodeService/ListNodes': () => ({
        nodes: [node, { id: 'n2', state: 'silent' }, { id: 'n3', state: 'failed' }],
      }),
    },
  })
  await page.getByText('1 node did not answer: n2.').waitFor()
  for (const [name, state, at] of [
    ['one', 'unknown', 'n2'],
    ['two', 'unknown', 'n2'],
    ['three', 'lost', 'n3'],
  ]) {
    const row = page.getByRole('row').filter({ hasText: `team/${name}` })
    expect(await row.getByRole('cell').allTextContents()).toEqual([`team/${name}`, state, at, '', '', '', '', '', '', ''])
  }
  await shoot(page, 'cluster-cells')
  await page.evaluate(() => (location.hash = '#/nodes'))
  for (const [id, text] of [
    ['n2', 'The other nodes count it as alive'],
    ['n3', 'The other nodes count it as dead'],
  ]) {
    const card = page.locator('section.card').filter({ has: page.getByRole('heading', { name: id, exact: true }) })
    await card.getByText(text!).waitFor()
    expect(await card.getByText('reduced').count()).toBe(0)
  }
  await shoot(page, 'cluster-nodes')
})

it('a call that a node does not have is said to be missing', async () => {
  const page = await open('#/denials', {
    streams: {
      'NodeService/Events': () => new Refusal('unimplemented', { kind: 'Unimplemented', message: 'this node tells no events' }),
    },
  })
  await page.getByText('this node tells no events').waitFor()
})

it('a version that is refused by the rules of today is not rolled back to', async () => {
  const page = await open('#/policies/team%2Freader/history', {
    answers: { 'PolicyService/Check': () => ({ problems: [{ line: 4, column: 5, message: 'there is no key "old"' }] }) },
  })
  await page.getByRole('button', { name: 'Roll back to version 1' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('alert').getByText('line 4: there is no key "old"').waitFor()
  expect(await dialog.getByText('Nothing is gained').count()).toBe(0)
  expect(await dialog.getByRole('button', { name: 'Roll back', exact: true }).isDisabled()).toBe(true)
})

it('a rollback is of what was seen, whatever comes meanwhile, and asked for again it is the same', async () => {
  let stored = 3
  const asked: { expect?: string; comment?: string; requestId?: string }[] = []
  const page = await open('#/policies/team%2Freader/history', {
    answers: {
      'PolicyService/History': () => ({
        versions: stored === 3 ? versions() : [{ ...versions()[2], number: '4' }, ...versions()],
      }),
      'PolicyService/Rollback': (r) => {
        asked.push(r)
        return new Refusal('unavailable', { kind: 'Unavailable', message: `no answer ${asked.length}` })
      },
    },
  })
  await page.getByRole('button', { name: 'Roll back to version 1' }).click()
  stored = 4
  await page.getByRole('button', { name: 'Show version 4', includeHidden: true }).waitFor({ state: 'attached' })
  const dialog = page.getByRole('dialog')
  for (const [n, comment] of ['why', 'why', 'because'].entries()) {
    await dialog.getByLabel('Comment').fill(comment)
    await dialog.getByRole('button', { name: 'Roll back', exact: true }).click()
    await dialog
      .getByRole('alert')
      .getByText(`no answer ${n + 1}`)
      .waitFor()
  }
  expect(asked.map((r) => [r.expect, r.comment])).toEqual([
    ['3', 'why'],
    ['3', 'why'],
    ['3', 'because'],
  ])
  expect(asked[1]!.requestId).toBe(asked[0]!.requestId)
  expect(asked[2]!.requestId).not.toBe(asked[0]!.requestId)
})

it('an answer that comes late closes no other dialog than its own', async () => {
  let answer = () => {}
  let listed = 0
  const late = new Promise<{}>((done) => (answer = () => done({})))
  const page = await open('#/policies/team%2Freader/history', {
    answers: {
      'PolicyService/History': ({ limit }) => {
        if (limit! > 1) listed++
        return { versions: versions() }
      },
      'PolicyService/Rollback': () => late,
      'CellService/DeleteCheckpoint': () => late,
    },
  })
  await page.getByRole('button', { name: 'Roll back to version 1' }).click()
  await page.getByRole('button', { name: 'Roll back', exact: true }).click()
  await page.getByRole('button', { name: 'Cancel' }).click()
  await page.getByRole('button', { name: 'Roll back to version 2' }).click()
  const before = listed
  answer()
  await expect.poll(() => listed).toBeGreaterThan(before)
  await page.getByRole('dialog').locator('.authority').waitFor()
  await page.getByRole('heading', { name: 'Roll team/reader back to version 2' }).waitFor()
  await page.getByRole('button', { name: 'Roll back', exact: true }).click()
  await page.getByRole('dialog').waitFor({ state: 'detached' })
})

it('a tab that nobody sees asks for nothing', async () => {
  let asked = 0
  const page = await open('#/cells', { answers: { 'CellService/List': () => ({ reports: cells(++asked % 2) }) } })
  await expect.poll(() => asked).toBeGreaterThan(3)
  await show(page, 'hidden')
  await page.waitForLoadState('networkidle')
  const before = asked
  await page.evaluate(() => new Promise((done) => setTimeout(done, 3500))) // twice as long as the list is asked for
  expect(asked - before).toBeLessThanOrEqual(1) // it may have been under way
  await show(page, 'visible')
  await expect.poll(() => asked).toBeGreaterThan(before + 1)
})

it('a tab that nobody sees holds no connection but that of the code which it runs', async () => {
  let asked = 0
  const never = new Promise<never>(() => {})
  const page = await open('#/cells/team/etl', {
    answers: {
      'CellService/Inspect': () => (asked++ === 0 ? { report: cells(2)[1] } : never),
      'CellService/ListCheckpoints': () => never,
      'CellService/Exec': () => never,
    },
  })
  await page.getByLabel('Run Python').fill('1')
  await page.getByRole('button', { name: 'Run', exact: true }).click()
  const seen = ['CellService/Exec', 'CellService/Inspect', 'CellService/ListCheckpoints', 'CellService/Logs']
  await expect.poll(() => held()).toEqual(seen)
  await show(page, 'hidden')
  // Sooner than they would have been given up in any case.
  await expect.poll(() => held(), { timeout: 10_000 }).toEqual(['CellService/Exec'])
  expect(await page.getByRole('alert').count()).toBe(0)
  await show(page, 'visible')
  await expect.poll(() => held()).toEqual(seen)
})

it('nothing that a guest says is unseen', async () => {
  const word = 'w\u202e\u200b\u061c\u2028\u2060\u{e0041}'
  const seen = 'w\\u202e\\u200b\\u061c\\u2028\\u2060\\U000e0041'
  const denial = { capability: word, action: word, rule: word, kernel: word, broker: word }
  const report = {
    ...cells(1)[0],
    state: 'killed',
    reason: word,
    unheld: [word],
    layers: [{ name: word, evidence: word, gaps: [word] }],
    policy: { ref: { name: 'team/reader' }, newest: '2', problem: word, needsNewCell: [word] },
  }
  const page = await open('#/cells/team/etl-0', {
    streams: {
      'CellService/Logs': async function* () {
        yield { log: { level: word, message: word, fields: word } }
        yield { metric: { name: word, value: 1, tags: { [word]: word } } }
        yield { denial }
        await new Promise(() => {})
      },
      'NodeService/Events': async function* () {
        yield { event: { index: '1', kind: 'CELL_KILLED', message: word } }
        yield { event: { index: '2', kind: 'DENIED', denial } }
        await new Promise(() => {})
      },
    },
    answers: {
      'CellService/List': () => ({ reports: [report] }),
      'CellService/Inspect': () => ({ report }),
      'CellService/Exec': () => new Refusal('unknown', { kind: 'GuestError', type: word, message: word, traceback: word }),
      'CellService/Recv': () => ({ items: [{ post: { json: word } }, { post: { raw: Buffer.from(word).toString('base64') } }] }),
      'PolicyService/Check': () => ({ problems: [{ line: 1, column: 1, message: word, hint: word }] }),
    },
  })
  const expectSeen = async (times: number) => {
    await expect.poll(async () => (await page.content()).split(seen).length - 1).toBeGreaterThanOrEqual(times)
    expect(await page.content()).not.toMatch(/[\u202e\u200b\u061c\u2028\u2060\u{e0041}]/u)
  }
  await page.getByLabel('Run Python').fill('1')
  await page.getByRole('button', { name: 'Run', exact: true }).click()
  await page.locator('.traceback').waitFor()
  await page.getByRole('button', { name: 'Take posts' }).click()
  await page.getByRole('button', { name: 'Take them' }).click()
  await page.locator('.posts').waitFor()
  await expectSeen(20)
  expect(
    await page
      .locator('.entry .level')
      .first()
      .evaluate((el) => el.scrollWidth - el.clientWidth),
  ).toBe(0)
  await shoot(page, 'unseen')
  await page.getByRole('group', { name: 'Which output' }).getByRole('button', { name: 'Metrics' }).click()
  await page.locator('.metrics').waitFor()
  await expectSeen(15)
  for (const [hash, times] of [
    ['#/cells', 2], // what the pointer is told
    ['#/denials', 5],
    ['#/events', 3],
    ['#/policies/team%2Freader', 1],
  ] as const) {
    await page.evaluate((to) => (location.hash = to), hash)
    await expectSeen(times)
  }
})

it('a guest that floods its page is seen, and can be quarantined', async () => {
  const flood = '\u0001'.repeat(256 << 10) // the longest text that a node passes on; six characters of it are seen for each
  const page = await open('#/cells/team/etl', {
    streams: {
      'CellService/Logs': async function* () {
        for (let i = 0; i < 100; i++) yield { log: { level: 'stdout', message: flood } }
        yield { log: { level: 'stdout', message: 'the last line' } }
        await new Promise(() => {})
      },
    },
  })
  await page.getByText('the last line').waitFor()
  const text = (await page.getByRole('log').textContent()) ?? ''
  expect(text).toContain('… 245760 more characters')
  expect(text.length).toBeLessThan((1 << 20) + 10_000) // the words beside them, too
  await page.getByRole('button', { name: 'Quarantine' }).click()
  await page.getByRole('heading', { name: 'Quarantine team/etl?' }).waitFor()
})

it('words of guests are words', async () => {
  const markup = '<img src=x onerror="document.title=\'taken\'"><script>document.title="taken"</script>'
  const page = await open('#/cells/team/etl', {
    streams: {
      'CellService/Logs': async function* () {
        yield { log: { level: 'stdout', message: markup } }
        yield { log: { level: markup, message: 'level' } }
        yield { metric: { name: markup, value: 1, tags: { [markup]: markup } } }
        yield { denial: { capability: markup, action: markup, rule: markup } }
        yield* logs
        await new Promise(() => {})
      },
    },
    answers: {
      'CellService/Inspect': () => ({
        report: {
          ...cells(1)[0],
          reason: markup,
          topics: [markup],
          layers: [{ name: markup, evidence: markup, gaps: [markup] }],
        },
      }),
    },
  })
  await page.getByText(markup).first().waitFor()
  expect(await page.locator('main img, main script').count()).toBe(0)
  expect(await page.title()).toBe('etl · PyIsolate')
  await shoot(page, 'markup')
  expect(complaints()).toEqual([])
})
