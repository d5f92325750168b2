// The console as people use it: a node that serves, with cells that run, and a browser.

import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { textToBase64 } from '../src/format.ts'
import { expectAccessible, logIn, openBrowser, shoot, type Browser } from './browser.ts'
import { startNode, type Node } from './node.ts'

const reader = `version: 1.0
sandboxes:
  reader:
    imports: [json]
    fs:
      - read: /etc/hostname
`

let node: Node
let browser: Browser
let page: Page
let operator: string
let admin: string
const elsewhere: string[] = []

const put = (text: string, comment: string) => node.call('PolicyService/Put', { name: 'team/reader', text: textToBase64(text), comment })
const go = async (hash: string, heading: string) => {
  await page.evaluate((to) => (location.hash = to), hash)
  await page.getByRole('heading', { level: 1, name: heading, exact: true }).waitFor()
}
const editor = () => page.locator('.cm-content').first()
// write replaces a whole document, as somebody does who pastes one.
const write = async (text: string, into = editor()) => {
  await into.click()
  await page.keyboard.press('ControlOrMeta+a')
  await into.evaluate((content, text) => {
    const clipboardData = new DataTransfer()
    clipboardData.setData('text/plain', text)
    content.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }))
  }, text)
}
const status = (text: string | RegExp) => page.getByText(text).first().waitFor()

beforeAll(async () => {
  node = await startNode()
  await put(reader, 'first version')
  operator = await node.token('operator')
  admin = await node.token('policy-admin')
  browser = await openBrowser()
  page = await browser.open(node.url)
  page.on('request', (r) => {
    if (!r.url().startsWith(new URL('/', node.url).href)) elsewhere.push(r.url())
  })
})

afterAll(async () => {
  await browser?.close()
  await node?.close()
})

describe('login', () => {
  it('refuses a token that is none, and says so', async () => {
    await page.getByLabel('Token').fill('not-a-token')
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByRole('alert').getByText('The node does not know this token').waitFor()
    await expectAccessible(page)
    await shoot(page, 'login-refused')
  })
  it('takes one that is', async () => {
    await logIn(page, operator)
    await page.getByRole('heading', { name: 'Cells' }).waitFor()
    expect(await page.evaluate(() => [Object.keys(localStorage), document.cookie])).toEqual([[], ''])
  })
})

describe('cells', () => {
  it('that start are shown at once', async () => {
    await status('No cells.')
    await node.call('CellService/Spawn', { tenant: 'team', name: 'one', policy: { name: 'team/reader' } })
    await node.call('CellService/Spawn', { tenant: 'team', name: 'two', backend: 'process', policy: { name: 'team/reader' } })
    await node.call('CellService/Spawn', { tenant: 'other', name: 'plain', allowedImports: ['math'] })
    await page.getByRole('link', { name: 'team/one' }).waitFor()
    await page.getByRole('link', { name: 'team/two' }).waitFor()
    await status(/3 cells, 3 running/)
    await expectAccessible(page)
    await shoot(page, 'cells')
  })
  it('are found and sorted', async () => {
    await page.getByLabel('Filter by any word').fill('team process')
    await status(/2 hidden by the filter/)
    await page.getByLabel('Filter by any word').fill('')
    await page.getByRole('button', { name: 'Backend' }).click()
    expect(await page.getByRole('row').nth(1).textContent()).toContain('two')
    await page.getByRole('button', { name: 'Backend' }).click()
    expect(await page.getByRole('row').nth(3).textContent()).toContain('two')
    expect(await page.getByRole('columnheader', { name: 'Backend' }).getAttribute('aria-sort')).toBe('descending')
  })
  it('are killed when somebody says so twice', async () => {
    await page.getByRole('button', { name: 'Kill other/plain' }).click()
    await page.getByRole('button', { name: 'Cancel' }).click()
    expect((await node.call('CellService/Inspect', { tenant: 'other', name: 'plain' })).report?.state).toBe('running')
    await page.getByRole('button', { name: 'Kill other/plain' }).click()
    await page.getByLabel('Reason').fill('it is not needed')
    await expectAccessible(page)
    await shoot(page, 'kill')
    await page.getByRole('button', { name: 'Kill it' }).click()
    await page.getByRole('row', { name: /plain/ }).getByText('killed').waitFor()
    expect((await node.call('CellService/Inspect', { tenant: 'other', name: 'plain' })).report?.reason).toContain('it is not needed')
  })
  it('are closed, and then they are gone', async () => {
    await page.getByRole('button', { name: 'Close other/plain' }).click()
    await page.getByRole('button', { name: 'Close it' }).click()
    await page.getByRole('link', { name: 'other/plain' }).waitFor({ state: 'detached' })
  })
})

describe('one cell', () => {
  const run = async (code: string) => {
    await page.getByLabel('Run Python').fill(code)
    await page.getByLabel('Run Python').press('Control+Enter')
  }
  const output = () => page.getByRole('log')
  it('says how it is confined', async () => {
    await page.getByRole('link', { name: 'team/one' }).click()
    await page.getByRole('heading', { name: 'Confinement' }).waitFor()
    await page.locator('.layers .evidence').first().waitFor()
    expect(await page.locator('.facts').first().textContent()).toContain('subinterpreter')
  })
  it('runs code, and what it prints is shown', async () => {
    await run('for i in range(3):\n    print("line", i)\nlog("info", "done", rows=3)\nmetric("rows", 3)')
    await status('It ran to its end')
    await output().getByText('line 2').waitFor()
    await output().getByText('rows').first().waitFor()
  })
  it('shows how code failed', async () => {
    await run('def f():\n    return 1 / 0\nf()')
    await page.getByText('ZeroDivisionError').first().waitFor()
    expect(await page.locator('.traceback').textContent()).toContain('return 1 / 0')
  })
  it('shows what it was denied', async () => {
    await run('open("/etc/shadow")')
    await output().locator('.entry.bad').getByText('/etc/shadow').first().waitFor()
    await page.getByRole('group', { name: 'Which output' }).getByRole('button', { name: 'Denials' }).click()
    expect(await output().getByText('line 2').count()).toBe(0)
    await expectAccessible(page)
    await shoot(page, 'cell')
    await page.getByRole('group', { name: 'Which output' }).getByRole('button', { name: 'All' }).click()
  })
  it('does not show what it may not do as something else', async () => {
    await run('print("\\x1b[31mred\\x1b[0m \\u202egnp")')
    await output().getByText('\\u001b[31mred\\u001b[0m \\u202egnp').waitFor()
  })
  it('stops code that runs', async () => {
    await run('while True: pass')
    await page.getByRole('button', { name: 'Stop' }).click()
    await status('you stopped it')
    await run('print("it goes on")')
    await output().getByText('it goes on').waitFor()
  })
  it('gives posts only when they are asked for', async () => {
    await run('post({"rows": 3})\npost(b"bytes")')
    await status('It ran to its end')
    expect(await page.getByText('{"rows": 3}').count()).toBe(0)
    await page.getByRole('button', { name: 'Take posts' }).click()
    await status('A post is delivered once')
    await page.getByRole('button', { name: 'Take them' }).click()
    await page.locator('.posts').getByText('"rows"').waitFor()
    await page.locator('.posts').getByText('5 bytes: bytes').waitFor()
  })
  it('shows metrics by name', async () => {
    await run('for i in range(40): metric("level", i * i % 17)')
    await page.getByRole('group', { name: 'Which output' }).getByRole('button', { name: 'Metrics' }).click()
    await page.locator('.metrics').getByText('level').waitFor()
    await expectAccessible(page)
    await shoot(page, 'cell-metrics')
  })
})

describe('denials and events', () => {
  it('come as they happen', async () => {
    await go('#/denials', 'Denials')
    await page.getByRole('cell', { name: /\/etc\/shadow/ }).first().waitFor()
    await node.call('CellService/Exec', { tenant: 'team', name: 'two', code: 'open("/etc/gshadow")' }).catch(() => {})
    await page.getByRole('cell', { name: /\/etc\/gshadow/ }).first().waitFor()
    await expectAccessible(page)
    await shoot(page, 'denials')
    await go('#/events', 'Events')
    await page.getByRole('cell', { name: 'cell started' }).first().waitFor()
    await page.getByLabel('Kind of event').selectOption('DENIED')
    expect(await page.getByRole('cell', { name: 'cell started' }).count()).toBe(0)
    await expectAccessible(page)
    await shoot(page, 'events')
  })
})

it('nodes', async () => {
  await go('#/nodes', 'Nodes')
  await page.getByText('ready').first().waitFor()
  await page.locator('.layers li').first().waitFor()
  await expectAccessible(page)
  await shoot(page, 'nodes')
})

const wider = reader.replace('imports: [json]', 'imports: [json, math]').replace('/etc/hostname', '/etc/os-release')

describe('policies', () => {
  it('are listed', async () => {
    await go('#/policies', 'Policies')
    await page.getByRole('link', { name: 'team/reader' }).waitFor()
    await shoot(page, 'policies')
    await page.getByRole('link', { name: 'team/reader' }).click()
    await status('✓ 1 sandbox')
  })
  it('are checked while they are written', async () => {
    await write(reader.replace('imports', 'importz'))
    await page.getByRole('button', { name: /1 problem: line 4/ }).waitFor()
    await page.locator('.cm-lintRange-error').first().waitFor()
    expect(await page.getByRole('button', { name: 'Save…' }).isDisabled()).toBe(true)
    await shoot(page, 'policy-problem')
    await expectAccessible(page)
  })
  it('are completed from the schema', async () => {
    await write(reader + '    back')
    await page.keyboard.press('Control+Space')
    await page.locator('.cm-tooltip-autocomplete').getByText('backend').waitFor()
    await shoot(page, 'policy-completion')
    await page.locator('.cm-tooltip-autocomplete').getByText('backend').click()
    await page.keyboard.press('Control+Space')
    await page.locator('.cm-tooltip-autocomplete').getByText('process', { exact: true }).waitFor()
    await page.keyboard.press('Escape')
    expect(await editor().textContent()).toContain('backend: ')
  })
  it('are tried before they are saved', async () => {
    await write(wider)
    await status('✓ 1 sandbox')
    await page.getByLabel('An absolute path').fill('/etc/os-release')
    await page.getByRole('button', { name: 'Try', exact: true }).click()
    await page.locator('.verdict.allowed').getByText('read: /etc/os-release').waitFor()
    await page.locator('.verdict').getByRole('button', { name: 'line 6' }).click()
    expect(await page.locator('.cm-jumped').textContent()).toContain('/etc/os-release')
    await expectAccessible(page)
    await shoot(page, 'policy-try')
    await page.getByLabel('By').selectOption('live')
    await page.getByRole('button', { name: 'Try', exact: true }).click()
    await page.locator('.verdict.denied').waitFor()
    await page.getByRole('button', { name: 'Import' }).click()
    await page.getByLabel('A module').fill('math')
    await page.getByLabel('By').selectOption('text')
    await page.getByRole('button', { name: 'Try', exact: true }).click()
    await page.locator('.verdict.allowed').getByText('math').first().waitFor()
    await page.getByRole('button', { name: 'Connect' }).click()
    await page.getByLabel('An address or host').fill('10.0.0.1:443')
    await page.getByRole('button', { name: 'Try', exact: true }).click()
    await page.locator('.verdict.denied').getByText('10.0.0.1:443').waitFor()
  })
  it('are saved, after what is gained and lost was shown, with a token that may', async () => {
    await page.getByRole('button', { name: 'Save…' }).click()
    await page.locator('.authority .gained').getByText('math').waitFor()
    await page.locator('.authority .lost').getByText('/etc/hostname').waitFor()
    await page.getByText('Changes of the text').click()
    await page.locator('.diff .cm-content').waitFor()
    await page.getByLabel('Comment').fill('another file')
    await shoot(page, 'policy-save')
    await expectAccessible(page)
    await page.getByRole('button', { name: 'Save', exact: true }).click()
    await page.getByLabel('A token with the role policy-admin').fill(admin)
    await shoot(page, 'policy-token')
    await expectAccessible(page)
    await page.getByRole('button', { name: 'Save', exact: true }).click()
    await status('Stored as version 2')
    expect((await node.call('PolicyService/Get', { name: 'team/reader' })).version?.comment).toBe('another file')
    expect(await page.evaluate(() => JSON.stringify([{ ...sessionStorage }, { ...localStorage }]))).not.toContain(admin)
  })
  it('reach cells that run', async () => {
    await expect.poll(async () => (await node.call('CellService/Inspect', { tenant: 'team', name: 'one' })).report?.policy?.version, { timeout: 5000 }).toBe('2')
  })
  it('of two who write at once, the second sees what the first has stored', async () => {
    const mine = wider + '    mem: 64MiB\n'
    const theirs = wider + '    wall: 5s\n'
    await write(mine)
    await status('✓ 1 sandbox')
    await put(theirs, 'theirs')
    await page.getByRole('button', { name: 'Save…' }).click()
    await page.locator('.authority').or(page.getByText('Nothing is gained')).first().waitFor()
    await page.getByRole('button', { name: 'Save', exact: true }).click()
    await page.getByRole('heading', { name: 'Somebody was faster' }).waitFor()
    await page.locator('.merge .cm-merge-b').waitFor()
    await shoot(page, 'policy-conflict')
    await expectAccessible(page)
    // Both changes: theirs is taken over, and mine is written below it.
    await write(theirs + '    mem: 64MiB\n', page.locator('.merge .cm-merge-b .cm-content'))
    await page.getByRole('button', { name: 'Go on with the merged text' }).click()
    await status('What you save now follows version 3')
    await status('✓ 1 sandbox')
    await page.getByRole('button', { name: 'Save…' }).click()
    await page.getByRole('heading', { name: 'Save team/reader as version 4' }).waitFor()
    await page.getByRole('button', { name: 'Save', exact: true }).click()
    await status('Stored as version 4')
    const stored = await node.call('PolicyService/Get', { name: 'team/reader' })
    expect(Buffer.from(stored.version?.text ?? '', 'base64').toString()).toBe(theirs + '    mem: 64MiB\n')
  })
  it('are rolled back, after what is gained and lost was shown', async () => {
    await page.getByRole('link', { name: 'History' }).click()
    await page.getByRole('button', { name: 'Show version 1' }).click()
    await page.locator('.document').getByText('/etc/hostname').waitFor()
    await page.getByRole('button', { name: 'Close' }).click()
    await shoot(page, 'history')
    await expectAccessible(page)
    await page.getByRole('button', { name: 'Roll back to version 1' }).click()
    await page.locator('.authority .gained').getByText('/etc/hostname').waitFor()
    await page.getByLabel('Comment').fill('it was needed')
    await shoot(page, 'rollback')
    await expectAccessible(page)
    await page.getByRole('button', { name: 'Roll back', exact: true }).click()
    await page.getByText('rollback:1').waitFor()
    expect((await node.call('PolicyService/Get', { name: 'team/reader' })).version?.number).toBe('5')
  })
  it('are not left unsaved without a word', async () => {
    await go('#/policies/team%2Freader', 'team/reader')
    await status('version 5')
    await write(wider)
    page.once('dialog', (d) => void d.dismiss())
    await page.getByRole('link', { name: 'Nodes' }).click()
    await page.waitForFunction(() => location.hash.startsWith('#/policies/team'))
    expect(await editor().textContent()).toContain('os-release')
    page.once('dialog', (d) => void d.accept())
    await page.getByRole('link', { name: 'Nodes' }).click()
    await page.getByRole('heading', { level: 1, name: 'Nodes' }).waitFor()
  })
  it('are made anew', async () => {
    await go('#/policies', 'Policies')
    await page.getByRole('button', { name: 'New policy' }).click()
    await page.getByLabel('Name').fill('team/fresh')
    await shoot(page, 'policy-new')
    await page.getByRole('button', { name: 'Write it' }).click()
    await status('✓ 1 sandbox')
    await page.getByRole('button', { name: 'Save…' }).click()
    await page.getByRole('button', { name: 'Save', exact: true }).click()
    await status('Stored as version 1')
  })
})

describe('without a mouse', () => {
  const focused = () => page.evaluate(() => document.activeElement?.textContent?.trim() || document.activeElement?.getAttribute('aria-label') || '')
  const tabTo = async (what: RegExp) => {
    for (let i = 0; i < 60; i++) {
      if (what.test(await focused())) return
      await page.keyboard.press('Tab')
    }
    throw new Error(`Tab does not lead to ${what}`)
  }
  it('a cell is found, inspected and killed', async () => {
    await page.reload()
    await page.getByRole('navigation').waitFor()
    await tabTo(/^Cells$/)
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { level: 1, name: 'Cells' }).waitFor()
    await page.getByRole('link', { name: 'team/two' }).waitFor()
    await tabTo(/^team\/two$/)
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement!).outlineStyle)
    expect(outline).toBe('solid')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { level: 1, name: 'two' }).waitFor()
    await page.getByRole('button', { name: 'Kill' }).waitFor()
    await tabTo(/^Kill$/)
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').waitFor()
    await tabTo(/^Kill it$/)
    await page.keyboard.press('Escape')
    await page.locator('dialog').waitFor({ state: 'detached' })
    expect(await focused()).toBe('Kill') // where it was
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').waitFor()
    await tabTo(/^Kill it$/)
    await page.keyboard.press('Enter')
    await page.getByText('killed').first().waitFor()
  })
  it('the editor is entered and left', async () => {
    await go('#/policies/team%2Freader', 'team/reader')
    await status('✓ 1 sandbox')
    for (let i = 0; i < 40 && !(await page.evaluate(() => document.activeElement?.shadowRoot?.activeElement?.classList.contains('cm-content'))); i++) await page.keyboard.press('Tab')
    await page.keyboard.press('Control+End')
    await page.keyboard.type('# by hand')
    await page.getByText('version 5, changed').waitFor()
    await page.keyboard.press('Tab')
    expect(await focused()).toBe('Undo all')
    await page.keyboard.press('Enter')
    await page.getByText('version 5', { exact: true }).waitFor()
  })
})

describe('looks', () => {
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor)
  it('as the system does, or as it was told', async () => {
    await go('#/cells', 'Cells')
    await page.emulateMedia({ colorScheme: 'light' })
    const light = await background()
    await page.emulateMedia({ colorScheme: 'dark' })
    const dark = await background()
    expect(dark).not.toBe(light)
    await page.getByLabel('Colours').selectOption('light')
    expect(await background()).toBe(light)
    await page.reload()
    await page.getByRole('navigation').waitFor()
    expect(await background()).toBe(light)
    await page.getByLabel('Colours').selectOption('system')
    expect(await background()).toBe(dark)
    await go('#/policies/team%2Freader', 'team/reader')
    await status('✓ 1 sandbox')
    await expectAccessible(page)
    await shoot(page, 'policy-dark')
    await page.emulateMedia({ colorScheme: 'light' })
  })
  it.each([[360, 740], [768, 1024]])('on %d × %d', async (width, height) => {
    await page.setViewportSize({ width, height })
    for (const [hash, heading, there] of [['#/cells', 'Cells', /2 cells/], ['#/cells/team/one', 'one', 'Confinement'], ['#/policies/team%2Freader', 'team/reader', '✓ 1 sandbox'], ['#/denials', 'Denials', 'live']] as const) {
      await go(hash, heading)
      await status(there)
      const [wide, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth])
      expect(wide, `${heading} is wider than the window`).toBeLessThanOrEqual(seen!)
      await shoot(page, `small-${width}-${heading.replace('/', '-')}`)
      await expectAccessible(page)
    }
    await page.setViewportSize({ width: 1280, height: 860 })
  })
})

describe('the end', () => {
  it('of a token is the end of the session', async () => {
    await go('#/cells', 'Cells')
    const { tokens = [] } = await node.call('PolicyService/ListTokens', {})
    await node.call('PolicyService/RevokeToken', { id: tokens.find((t) => t.role === 'operator')?.id })
    await page.getByRole('button', { name: 'Log in' }).waitFor()
    await page.getByRole('alert').waitFor()
    expect(await page.evaluate(() => sessionStorage.length)).toBe(0)
  })
  it('a viewer sees, and may do nothing', async () => {
    await logIn(page, await node.token('viewer'))
    await go('#/cells/team/one', 'one')
    await page.getByLabel('Run Python').fill('print(1)')
    await page.getByRole('button', { name: 'Run', exact: true }).click()
    await page.getByText('this needs the role operator').waitFor()
  })
  it('nothing was complained of, and nothing asked for elsewhere', () => {
    expect(browser.complaints).toEqual([])
    expect(elsewhere).toEqual([])
  })
})
