// Cells of a node that serves, as people see them in a browser.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { expectAccessible, logIn, shoot } from './browser.ts'
import { openConsole, spawnCells, type Console } from './fixture.ts'

let on: Console

beforeAll(async () => {
  on = await openConsole()
})

afterAll(() => on?.close())

describe('login', () => {
  it('refuses a token that is none, and says so', async () => {
    await on.page.getByLabel('Token').fill('not-a-token')
    await on.page.getByRole('button', { name: 'Log in' }).click()
    await on.page.getByRole('alert').getByText('The node does not know this token').waitFor()
    await expectAccessible(on.page)
    await shoot(on.page, 'login-refused')
  })
  it('takes one that is', async () => {
    await logIn(on.page, await on.node.token('operator'))
    await on.page.getByRole('heading', { name: 'Cells' }).waitFor()
    expect(await on.page.evaluate(() => [Object.keys(localStorage), document.cookie])).toEqual([[], ''])
  })
})

describe('cells', () => {
  it('that start are shown at once', async () => {
    await on.says('No cells.')
    await spawnCells(on.node)
    await on.node.call('CellService/Spawn', { tenant: 'other', name: 'plain', allowedImports: ['math'] })
    await on.page.getByRole('link', { name: 'team/one' }).waitFor()
    await on.page.getByRole('link', { name: 'team/two' }).waitFor()
    await on.says(/3 cells, 3 running/)
    await expectAccessible(on.page)
    await shoot(on.page, 'cells')
  })
  it('are found and sorted', async () => {
    await on.page.getByLabel('Filter by any word').fill('team process')
    await on.says(/2 hidden by the filter/)
    await on.page.getByLabel('Filter by any word').fill('')
    await on.page.getByRole('button', { name: 'Backend' }).click()
    expect(await on.page.getByRole('row').nth(1).textContent()).toContain('two')
    await on.page.getByRole('button', { name: 'Backend' }).click()
    expect(await on.page.getByRole('row').nth(3).textContent()).toContain('two')
    expect(await on.page.getByRole('columnheader', { name: 'Backend' }).getAttribute('aria-sort')).toBe('descending')
  })
  it('are killed when somebody says so twice', async () => {
    await on.page.getByRole('button', { name: 'Kill other/plain' }).click()
    await on.page.getByRole('button', { name: 'Cancel' }).click()
    expect((await on.node.call('CellService/Inspect', { tenant: 'other', name: 'plain' })).report?.state).toBe('running')
    await on.page.getByRole('button', { name: 'Kill other/plain' }).click()
    await on.page.getByLabel('Reason').fill('it is not needed')
    await expectAccessible(on.page)
    await shoot(on.page, 'kill')
    await on.page.getByRole('button', { name: 'Kill it' }).click()
    await on.page.getByRole('row', { name: /plain/ }).getByText('killed').waitFor()
    expect((await on.node.call('CellService/Inspect', { tenant: 'other', name: 'plain' })).report?.reason).toContain(
      'it is not needed',
    )
  })
  it('are closed, and then they are gone', async () => {
    await on.page.getByRole('button', { name: 'Close other/plain' }).click()
    await on.page.getByRole('button', { name: 'Close it' }).click()
    await on.page.getByRole('link', { name: 'other/plain' }).waitFor({ state: 'detached' })
  })
})

describe('one cell', () => {
  const run = async (code: string) => {
    await on.page.getByRole('button', { name: 'Run', exact: true }).waitFor() // what ran before has ended
    await on.page.getByLabel('Run Python').fill(code)
    await on.page.getByLabel('Run Python').press('Control+Enter')
  }
  const output = () => on.page.getByRole('log')
  it('says how it is confined', async () => {
    await on.page.getByRole('link', { name: 'team/one' }).click()
    await on.page.getByRole('heading', { name: 'Confinement' }).waitFor()
    await on.page.locator('.layers .evidence').first().waitFor()
    expect(await on.page.locator('.facts').first().textContent()).toContain('subinterpreter')
  })
  it('runs code, and what it prints is shown', async () => {
    await run('for i in range(3):\n    print("line", i)\nlog("info", "done", rows=3)\nmetric("rows", 3)')
    await on.says('Finished in')
    await output().getByText('line 2').waitFor()
    await output().getByText('rows').first().waitFor()
  })
  it('shows how code failed', async () => {
    await run('def f():\n    return 1 / 0\nf()')
    await on.page.getByText('ZeroDivisionError').first().waitFor()
    expect(await on.page.locator('.traceback').textContent()).toContain('return 1 / 0')
  })
  it('shows what it was denied', async () => {
    await run('open("/etc/shadow")')
    await output().locator('.entry.bad').getByText('/etc/shadow').first().waitFor()
    await on.page.getByRole('group', { name: 'Which output' }).getByRole('button', { name: 'Denials' }).click()
    expect(await output().getByText('line 2').count()).toBe(0)
    await expectAccessible(on.page)
    await shoot(on.page, 'cell')
    await on.page.getByRole('group', { name: 'Which output' }).getByRole('button', { name: 'All' }).click()
  })
  it('does not show what it may not do as something else', async () => {
    await run('print("\\x1b[31mred\\x1b[0m \\u202egnp")')
    await output().getByText('\\u001b[31mred\\u001b[0m \\u202egnp').waitFor()
    await run('metric("rows\\u202e", 1, {"tag\\u2060": "v\\u061c"})')
    await output().getByText('rows\\u202e{tag\\u2060=v\\u061c} = 1').waitFor()
    await run('open("/etc/\\u200bshadow\\U000e0041")')
    await output().locator('.entry.bad .message').getByText('/etc/\\u200bshadow\\U000e0041').first().waitFor()
    await run('raise type("Good\\u202e", (Exception,), {})("so\\u200bfine")')
    await on.page.locator('.ran strong').getByText('Good\\u202e').waitFor()
    await on.page.locator('.traceback').getByText('so\\u200bfine').waitFor()
  })
  it('stops code that runs', async () => {
    await run('while True: pass')
    await on.page.getByRole('button', { name: 'Stop' }).click()
    await on.says('you stopped it')
    await run('print("it goes on")')
    await output().getByText('it goes on').waitFor()
  })
  it('gives posts only when they are asked for', async () => {
    await run('post({"rows": 3})\npost(b"bytes")')
    await on.says('Finished in')
    expect(await on.page.getByText('{"rows": 3}').count()).toBe(0)
    await on.page.getByRole('button', { name: 'Take posts' }).click()
    await on.says('Each post is delivered once')
    await on.page.getByRole('button', { name: 'Take them' }).click()
    await on.page.locator('.posts').getByText('"rows"').waitFor()
    await on.page.locator('.posts').getByText('5 bytes: bytes').waitFor()
  })
  it('shows metrics by name', async () => {
    await run('for i in range(40): metric("level", i * i % 17)')
    await on.page.getByRole('group', { name: 'Which output' }).getByRole('button', { name: 'Metrics' }).click()
    await on.page.locator('.metrics').getByText('level').waitFor()
    await expectAccessible(on.page)
    await shoot(on.page, 'cell-metrics')
  })
})

describe('denials and events', () => {
  it('come as they happen', async () => {
    await on.go('#/denials', 'Denials')
    await on.page
      .getByRole('cell', { name: /\/etc\/shadow/ })
      .first()
      .waitFor()
    await on.node.call('CellService/Exec', { tenant: 'team', name: 'two', code: 'open("/etc/gshadow")' }).catch(() => {})
    await on.page
      .getByRole('cell', { name: /\/etc\/gshadow/ })
      .first()
      .waitFor()
    await expectAccessible(on.page)
    await shoot(on.page, 'denials')
    await on.go('#/events', 'Events')
    await on.page.getByRole('cell', { name: 'cell started' }).first().waitFor()
    await on.page.getByLabel('Kind of event').selectOption('DENIED')
    expect(await on.page.getByRole('cell', { name: 'cell started' }).count()).toBe(0)
    await expectAccessible(on.page)
    await shoot(on.page, 'events')
  })
})

it('nodes', async () => {
  await on.go('#/nodes', 'Nodes')
  await on.page.getByText('ready').first().waitFor()
  await on.page.locator('.layers li').first().waitFor()
  await expectAccessible(on.page)
  await shoot(on.page, 'nodes')
})

describe('the end', () => {
  it('of a token is the end of the session', async () => {
    await on.go('#/cells', 'Cells')
    const { tokens = [] } = await on.node.call('PolicyService/ListTokens', {})
    await on.node.call('PolicyService/RevokeToken', { id: tokens.find((t) => t.role === 'operator')?.id })
    await on.page.getByRole('button', { name: 'Log in' }).waitFor()
    await on.page.getByRole('alert').waitFor()
    expect(await on.page.evaluate(() => sessionStorage.length)).toBe(0)
  })
  it('a viewer sees, and may do nothing', async () => {
    await logIn(on.page, await on.node.token('viewer'))
    await on.go('#/cells/team/one', 'one')
    await on.page.getByLabel('Run Python').fill('print(1)')
    await on.page.getByRole('button', { name: 'Run', exact: true }).click()
    await on.page.getByText('this needs the role operator').waitFor()
  })
})
