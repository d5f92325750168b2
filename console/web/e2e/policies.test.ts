// Policies of a node that serves, as people change them in a browser.

import { afterAll, beforeAll, expect, it } from 'vitest'

import { textToBase64 } from '../src/format.ts'
import { expectAccessible, logIn, shoot } from './browser.ts'
import { openConsole, reader, spawnCells, write, type Console } from './fixture.ts'

let on: Console
let admin: string

beforeAll(async () => {
  on = await openConsole()
  await spawnCells(on.node)
  admin = await on.node.token('policy-admin')
  await logIn(on.page, await on.node.token('operator'))
})

afterAll(() => on?.close())

const wider = reader.replace('imports: [json]', 'imports: [json, math]').replace('/etc/hostname', '/etc/os-release')

it('are listed', async () => {
  await on.go('#/policies', 'Policies')
  await on.page.getByRole('link', { name: 'team/reader' }).waitFor()
  await shoot(on.page, 'policies')
  await on.page.getByRole('link', { name: 'team/reader' }).click()
  await on.says('✓ 1 sandbox')
})

it('are checked while they are written', async () => {
  await write(on.page, reader.replace('imports', 'importz'))
  await on.page.getByRole('button', { name: /1 problem: line 4/ }).waitFor()
  await on.page.locator('.cm-lintRange-error').first().waitFor()
  expect(await on.page.getByRole('button', { name: 'Save…' }).isDisabled()).toBe(true)
  await shoot(on.page, 'policy-problem')
  await expectAccessible(on.page)
})

it('are completed from the schema', async () => {
  await write(on.page, reader + '    back')
  await on.page.keyboard.press('Control+Space')
  await on.page.locator('.cm-tooltip-autocomplete').getByText('backend').waitFor()
  await shoot(on.page, 'policy-completion')
  await on.page.locator('.cm-tooltip-autocomplete').getByText('backend').click()
  await on.page.keyboard.press('Control+Space')
  await on.page.locator('.cm-tooltip-autocomplete').getByText('process', { exact: true }).waitFor()
  await on.page.keyboard.press('Escape')
  expect(await on.page.locator('.cm-content').first().textContent()).toContain('backend: ')
})

it('are tried before they are saved', async () => {
  await write(on.page, wider)
  await on.says('✓ 1 sandbox')
  await on.page.getByLabel('An absolute path').fill('/etc/os-release')
  await on.page.getByRole('button', { name: 'Try', exact: true }).click()
  await on.page.locator('.verdict.allowed').getByText('read: /etc/os-release').waitFor()
  await on.page.locator('.verdict').getByRole('button', { name: 'line 6' }).click()
  expect(await on.page.locator('.cm-jumped').textContent()).toContain('/etc/os-release')
  await expectAccessible(on.page)
  await shoot(on.page, 'policy-try')
  await on.page.getByLabel('By').selectOption('live')
  await on.page.getByRole('button', { name: 'Try', exact: true }).click()
  await on.page.locator('.verdict.denied').waitFor()
  await on.page.getByRole('button', { name: 'Import' }).click()
  await on.page.getByLabel('A module').fill('math')
  await on.page.getByLabel('By').selectOption('text')
  await on.page.getByRole('button', { name: 'Try', exact: true }).click()
  await on.page.locator('.verdict.allowed').getByText('math').first().waitFor()
  await on.page.getByRole('button', { name: 'Connect' }).click()
  await on.page.getByLabel('An address or host').fill('10.0.0.1:443')
  await on.page.getByRole('button', { name: 'Try', exact: true }).click()
  await on.page.locator('.verdict.denied').getByText('10.0.0.1:443').waitFor()
})

it('are saved, after what is gained and lost was shown, with a token that may', async () => {
  await on.page.getByRole('button', { name: 'Save…' }).click()
  await on.page.locator('.authority .gained').getByText('math').waitFor()
  await on.page.locator('.authority .lost').getByText('/etc/hostname').waitFor()
  await on.page.getByText('Changes of the text').click()
  await on.page.locator('.diff .cm-content').waitFor()
  await on.page.getByLabel('Comment').fill('another file')
  await shoot(on.page, 'policy-save')
  await expectAccessible(on.page)
  await on.page.getByRole('button', { name: 'Save', exact: true }).click()
  await on.page.getByLabel('A token with the role policy-admin').fill(admin)
  await shoot(on.page, 'policy-token')
  await expectAccessible(on.page)
  await on.page.getByRole('button', { name: 'Save', exact: true }).click()
  await on.says('Stored as version 2')
  expect((await on.node.call('PolicyService/Get', { name: 'team/reader' })).version?.comment).toBe('another file')
  expect(await on.page.evaluate(() => JSON.stringify([{ ...sessionStorage }, { ...localStorage }]))).not.toContain(admin)
})

it('reach cells that run', async () => {
  await expect
    .poll(async () => (await on.node.call('CellService/Inspect', { tenant: 'team', name: 'one' })).report?.policy?.version)
    .toBe('2')
})

it('of two who write at once, the second sees what the first has stored', async () => {
  const mine = wider + '    mem: 64MiB\n'
  const theirs = wider + '    wall: 5s\n'
  await write(on.page, mine)
  await on.says('✓ 1 sandbox')
  await on.put(theirs, 'theirs')
  await on.page.getByRole('button', { name: 'Save…' }).click()
  await on.page.locator('.authority').or(on.page.getByText('Nothing is gained')).first().waitFor()
  await on.page.getByRole('button', { name: 'Save', exact: true }).click()
  await on.page.getByRole('heading', { name: 'Somebody was faster' }).waitFor()
  await on.page.locator('.merge .cm-merge-b').waitFor()
  await shoot(on.page, 'policy-conflict')
  await expectAccessible(on.page)
  // Both changes: theirs is taken over, and mine is written below it.
  await write(on.page, theirs + '    mem: 64MiB\n', on.page.locator('.merge .cm-merge-b .cm-content'))
  await on.page.getByRole('button', { name: 'Go on with the merged text' }).click()
  await on.says('What you save now follows version 3')
  await on.says('✓ 1 sandbox')
  await on.page.getByRole('button', { name: 'Save…' }).click()
  await on.page.getByRole('heading', { name: 'Save team/reader as version 4' }).waitFor()
  await on.page.getByRole('button', { name: 'Save', exact: true }).click()
  await on.says('Stored as version 4')
  const stored = await on.node.call('PolicyService/Get', { name: 'team/reader' })
  expect(Buffer.from(stored.version?.text ?? '', 'base64').toString()).toBe(theirs + '    mem: 64MiB\n')
})

it('are rolled back, after what is gained and lost was shown', async () => {
  await on.page.getByRole('link', { name: 'History' }).click()
  await on.page.getByRole('button', { name: 'Show version 1' }).click()
  await on.page.locator('.document').getByText('/etc/hostname').waitFor()
  await on.page.getByRole('button', { name: 'Close' }).click()
  await shoot(on.page, 'history')
  await expectAccessible(on.page)
  await on.page.getByRole('button', { name: 'Roll back to version 1' }).click()
  await on.page.locator('.authority .gained').getByText('/etc/hostname').waitFor()
  await on.page.getByLabel('Comment').fill('it was needed')
  await shoot(on.page, 'rollback')
  await expectAccessible(on.page)
  await on.page.getByRole('button', { name: 'Roll back', exact: true }).click()
  await on.page.getByText('rollback:1').waitFor()
  expect((await on.node.call('PolicyService/Get', { name: 'team/reader' })).version?.number).toBe('5')
})

it('are not left unsaved without a word', async () => {
  await on.go('#/policies/team%2Freader', 'team/reader')
  await on.says('version 5')
  await write(on.page, wider)
  on.page.once('dialog', (d) => void d.dismiss())
  await on.page.getByRole('link', { name: 'Nodes' }).click()
  await on.page.waitForFunction(() => location.hash.startsWith('#/policies/team'))
  expect(await on.page.locator('.cm-content').first().textContent()).toContain('os-release')
  on.page.once('dialog', (d) => void d.accept())
  await on.page.getByRole('link', { name: 'Nodes' }).click()
  await on.page.getByRole('heading', { level: 1, name: 'Nodes' }).waitFor()
})

it('are made anew', async () => {
  await on.go('#/policies', 'Policies')
  await on.page.getByRole('button', { name: 'New policy' }).click()
  await on.page.getByLabel('Name').fill('team/fresh')
  await shoot(on.page, 'policy-new')
  await on.page.getByRole('button', { name: 'Write it' }).click()
  await on.says('✓ 1 sandbox')
  await write(on.page, wider)
  await on.says('✓ 1 sandbox')
  await on.page.getByRole('button', { name: 'Save…' }).click()
  await on.says('There is nothing to compare with')
  expect(await on.page.getByText('Nothing is gained').count()).toBe(0)
  await shoot(on.page, 'policy-new-save')
  await expectAccessible(on.page)
  await on.page.getByRole('button', { name: 'Save', exact: true }).click()
  await on.says('Stored as version 1')
  await on.page.getByRole('link', { name: 'History' }).click()
  await on.page.getByRole('button', { name: 'Show version 1' }).waitFor()
  await on.page.getByRole('link', { name: 'Document' }).click()
  await on.page.getByText('version 1', { exact: true }).waitFor()
  expect(await on.page.locator('.cm-content').first().textContent()).toContain('os-release')
})

it('that were deleted are compared with what their cells have kept', async () => {
  const name = 'team/gone'
  for (const text of [wider, reader]) await on.node.call('PolicyService/Put', { name, text: textToBase64(text) })
  await on.node.call('PolicyService/Delete', { name })
  const expectCompared = async () => {
    await on.says('compared with version 2')
    await on.page.locator('.authority .gained').getByText('math').waitFor()
    await on.page.locator('.authority .lost').getByText('/etc/hostname').waitFor()
  }
  await on.go('#/policies/team%2Fgone/history', name)
  await on.page.getByRole('button', { name: 'Roll back to version 1' }).click()
  await expectCompared()
  await shoot(on.page, 'rollback-deleted')
  await expectAccessible(on.page)
  await on.page.getByRole('button', { name: 'Cancel' }).click()
  await on.page.getByRole('link', { name: 'Document' }).click()
  await on.says('not stored yet')
  await write(on.page, wider)
  await on.says('✓ 1 sandbox')
  await on.page.getByRole('button', { name: 'Save…' }).click()
  await expectCompared()
  await on.page.getByRole('button', { name: 'Save', exact: true }).click()
  await on.says('Stored as version 4')
})

it('that are being written survive the end of the session, and no logout', async () => {
  await on.go('#/policies/team%2Freader', 'team/reader')
  await on.says('✓ 1 sandbox')
  await write(on.page, reader + '    mem: 32MiB\n')
  await on.page.getByText('version 5, changed').waitFor()
  const { tokens = [] } = await on.node.call('PolicyService/ListTokens', {})
  for (const t of tokens) await on.node.call('PolicyService/RevokeToken', { id: t.id })
  await on.page.getByRole('alert').waitFor()
  await logIn(on.page, await on.node.token('viewer'))
  await on.page.getByText('version 5, changed').waitFor()
  expect(await on.page.locator('.cm-content').first().textContent()).toContain('mem: 32MiB')
  on.page.once('dialog', (d) => void d.accept())
  await on.page.getByRole('button', { name: 'Log out' }).click()
  await logIn(on.page, await on.node.token('viewer'))
  await on.says('✓ 1 sandbox')
  expect(await on.page.locator('.cm-content').first().textContent()).not.toContain('mem: 32MiB')
})
