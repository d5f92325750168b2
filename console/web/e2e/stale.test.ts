// What is no more: a cell that has ended or has a successor, a node that is away. What pages
// show of it is what was last known, and is not shown as what is.

import { expect, it } from 'vitest'

import type { CellReport } from '../src/api/types.ts'
import { Refusal } from './fake.ts'
import { open } from './faked.ts'
import { events } from './sample.ts'

const forever = new Promise<never>(() => {})
const report: CellReport = { cell: { tenant: 'team', name: 'etl' }, id: 'first', epoch: '1', node: 'n1', state: 'running' }

it('the output of a cell is not that of the one before, which had its name', async () => {
  let now = report
  const page = await open('#/cells/team/etl', {
    answers: { 'CellService/Inspect': () => ({ report: now }) },
    streams: {
      'CellService/Logs': async function* () {
        yield { log: { level: 'stdout', message: `words of the ${now.id}` } }
        if (now !== report) await forever
      },
    },
  })
  const output = page.getByRole('log')
  await output.getByText('words of the first').waitFor()
  await page.getByText('ended', { exact: true }).waitFor()
  now = { ...report, id: 'second' }
  await output.getByText('words of the second').waitFor()
  expect(await output.getByText('words of the first').count()).toBe(0)
})

it('a cell that is gone is not said to run, and nothing can be done to it', async () => {
  let gone = false
  const page = await open('#/cells/team/etl', {
    answers: {
      'CellService/Inspect': () =>
        gone ? new Refusal('not_found', { kind: 'NotFound', message: 'there is no cell etl' }) : { report },
    },
    streams: {
      'CellService/Logs': async function* () {
        yield { log: { level: 'stdout', message: 'its last words' } }
      },
    },
  })
  await page.getByRole('button', { name: 'Kill' }).waitFor()
  gone = true
  await page.getByRole('alert').getByText('there is no cell etl').waitFor()
  const title = page.locator('header.title')
  expect(await title.getByRole('button').count()).toBe(0)
  expect(await title.locator('.word').textContent()).toBe('gone')
  await page.getByText('its last words').waitFor()
  gone = false
  await page.getByRole('button', { name: 'Kill' }).waitFor()
})

it('what a node has told stays while it is away, and is replaced when it tells anew', async () => {
  let away = false
  let cut = () => {}
  const page = await open('#/events', {
    streams: {
      'NodeService/Events': () => {
        if (away) return new Refusal('unavailable', { kind: 'Unavailable', message: 'the node is away' })
        const broken = new Promise<never>((_, fail) => (cut = () => fail(new Error('cut off'))))
        return (async function* () {
          for (const event of events) yield { event }
          await broken
        })()
      },
    },
  })
  const said = page.getByText('24 events', { exact: true })
  await said.waitFor()
  away = true
  cut()
  await page.getByText('the node is away').waitFor()
  expect(await said.count()).toBe(1)
  away = false
  await page.getByText('live', { exact: true }).waitFor()
  await said.waitFor()
})

it('a connection that has ended without a word is told of, and what came meanwhile is shown', async () => {
  let [opened, reached] = [0, true]
  let again = () => {}
  const page = await open('#/events', {
    streams: {
      'NodeService/Events': async function* () {
        for (const event of ++opened === 1 ? events.slice(1) : events) yield { event }
        await forever
      },
    },
    alive: () => (reached ? Promise.resolve() : new Promise((done) => (again = done))),
  })
  await page.getByText('23 events', { exact: true }).waitFor()
  await page.getByText('live', { exact: true }).waitFor()
  reached = false
  await page.getByText('stale', { exact: true }).waitFor({ timeout: 60_000 })
  await page.getByText('the node has not answered in time').waitFor()
  await page.getByText('23 events', { exact: true }).waitFor()
  reached = true
  again()
  await page.getByText('24 events', { exact: true }).waitFor()
  await page.getByText('live', { exact: true }).waitFor()
  expect(opened).toBe(2)
})

it('a stream is not said to be live before the node has answered', async () => {
  let answer: (() => void) | undefined
  const page = await open('#/denials', {
    streams: {
      'NodeService/Events': () =>
        (async function* () {
          await forever
        })(),
    },
    alive: () => new Promise((done) => (answer = done)),
  })
  await expect.poll(() => answer).toBeDefined()
  expect(await page.getByText('live', { exact: true }).count()).toBe(0)
  answer!()
  await page.getByText('Nothing was denied').waitFor()
})

it('a filter that nothing matches does not say that nothing was denied', async () => {
  const page = await open('#/denials', {})
  await page.getByText('4 denials', { exact: true }).waitFor()
  const filter = page.getByLabel('Filter by any word')
  await filter.fill('nobody')
  await page.getByText('No denial matches.').waitFor()
  expect(await page.getByText('Nothing was denied').count()).toBe(0)
  await filter.fill('landlock') // which the column of evidence has
  await page.getByText('4 denials', { exact: true }).waitFor()
})

it('events that were not told are not said to be none', async () => {
  const page = await open('#/denials', {
    streams: { 'NodeService/Events': () => new Refusal('permission_denied', { kind: 'PolicyAuth', message: 'not for you' }) },
  })
  await page.getByText('not for you').waitFor()
  expect(await page.getByText('Nothing was denied').count()).toBe(0)
})

it('a kind of events that is chosen stays to be seen when none of it is kept', async () => {
  let cut = () => {}
  let told = 0
  const page = await open('#/events', {
    streams: {
      'NodeService/Events': () => {
        const broken = new Promise<never>((_, fail) => (cut = () => fail(new Error('cut off'))))
        const kept = told++ === 0 ? events : events.filter((e) => e.kind !== 'MEM_KILL')
        return (async function* () {
          for (const event of kept) yield { event }
          await broken
        })()
      },
    },
  })
  const kind = page.getByLabel('Kind of event')
  await page.getByText('24 events', { exact: true }).waitFor()
  await kind.selectOption('MEM_KILL')
  await page.getByText('4 events', { exact: true }).waitFor()
  cut()
  await page.getByText('No event matches.').waitFor()
  expect(await kind.evaluate((el: HTMLSelectElement) => el.value)).toBe('MEM_KILL')
})

it('cells that move are found by that word', async () => {
  const page = await open('#/cells', {
    answers: {
      'CellService/List': () => ({
        reports: [
          { ...report, migration: { to: 'n7' } },
          { ...report, id: 'other', cell: { tenant: 'team', name: 'other' } },
        ],
      }),
    },
  })
  const filter = page.getByLabel('Filter by any word')
  for (const word of ['moving', 'n7']) {
    await filter.fill(word)
    await page.getByText('1 hidden by the filter').waitFor()
    await page.getByRole('link', { name: 'team/etl' }).waitFor()
  }
})
