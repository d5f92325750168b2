// The console without a mouse, in each look, and in small windows.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { expectAccessible, logIn, shoot } from './browser.ts'
import { openConsole, spawnCells, type Console } from './fixture.ts'

let on: Console

beforeAll(async () => {
  on = await openConsole()
  await spawnCells(on.node)
  await logIn(on.page, await on.node.token('operator'))
})

afterAll(() => on?.close())

describe('without a mouse', () => {
  const focused = () =>
    on.page.evaluate(
      () => document.activeElement?.textContent?.trim() || document.activeElement?.getAttribute('aria-label') || '',
    )
  const tabTo = async (what: RegExp) => {
    for (let i = 0; i < 60; i++) {
      if (what.test(await focused())) return
      await on.page.keyboard.press('Tab')
    }
    throw new Error(`Tab does not lead to ${what}`)
  }
  it('a cell is found, inspected and killed', async () => {
    await on.page.reload()
    await on.page.getByRole('navigation').waitFor()
    await tabTo(/^Cells$/)
    await on.page.keyboard.press('Enter')
    await on.page.getByRole('heading', { level: 1, name: 'Cells' }).waitFor()
    await on.page.getByRole('link', { name: 'team/two' }).waitFor()
    await tabTo(/^team\/two$/)
    const outline = await on.page.evaluate(() => getComputedStyle(document.activeElement!).outlineStyle)
    expect(outline).toBe('solid')
    await on.page.keyboard.press('Enter')
    await on.page.getByRole('heading', { level: 1, name: 'two' }).waitFor()
    await on.page.getByRole('button', { name: 'Kill' }).waitFor()
    await tabTo(/^Kill$/)
    await on.page.keyboard.press('Enter')
    await on.page.getByRole('dialog').waitFor()
    await tabTo(/^Kill it$/)
    await on.page.keyboard.press('Escape')
    await on.page.locator('dialog').waitFor({ state: 'detached' })
    expect(await focused()).toBe('Kill') // where it was
    await on.page.keyboard.press('Enter')
    await on.page.getByRole('dialog').waitFor()
    await tabTo(/^Kill it$/)
    await on.page.keyboard.press('Enter')
    await on.page.getByText('killed').first().waitFor()
  })
  it('the editor is entered and left', async () => {
    await on.go('#/policies/team%2Freader', 'team/reader')
    await on.says('✓ 1 sandbox')
    for (
      let i = 0;
      i < 40 &&
      !(await on.page.evaluate(() => document.activeElement?.shadowRoot?.activeElement?.classList.contains('cm-content')));
      i++
    )
      await on.page.keyboard.press('Tab')
    await on.page.keyboard.press('Control+End')
    await on.page.keyboard.type('# by hand')
    await on.page.getByText('version 1, changed').waitFor()
    await on.page.keyboard.press('Tab')
    expect(await focused()).toBe('Undo all')
    await on.page.keyboard.press('Enter')
    await on.page.getByText('version 1', { exact: true }).waitFor()
  })
})

describe('looks', () => {
  const background = () => on.page.evaluate(() => getComputedStyle(document.body).backgroundColor)
  it('as the system does, or as it was told', async () => {
    await on.go('#/cells', 'Cells')
    await on.page.emulateMedia({ colorScheme: 'light' })
    const light = await background()
    await on.page.emulateMedia({ colorScheme: 'dark' })
    const dark = await background()
    expect(dark).not.toBe(light)
    await on.page.getByLabel('Colours').selectOption('light')
    expect(await background()).toBe(light)
    await on.page.reload()
    await on.page.getByRole('navigation').waitFor()
    expect(await background()).toBe(light)
    await on.page.getByLabel('Colours').selectOption('system')
    expect(await background()).toBe(dark)
    await on.go('#/policies/team%2Freader', 'team/reader')
    await on.says('✓ 1 sandbox')
    await expectAccessible(on.page)
    await shoot(on.page, 'policy-dark')
    await on.page.emulateMedia({ colorScheme: 'light' })
  })
  it.each([
    [360, 740],
    [768, 1024],
  ])('on %d × %d', async (width, height) => {
    await on.page.setViewportSize({ width, height })
    for (const [hash, heading, there] of [
      ['#/cells', 'Cells', /2 cells/],
      ['#/cells/team/one', 'one', 'Confinement'],
      ['#/policies/team%2Freader', 'team/reader', '✓ 1 sandbox'],
      ['#/denials', 'Denials', 'live'],
    ] as const) {
      await on.go(hash, heading)
      await on.says(there)
      const [wide, seen] = await on.page.evaluate(() => [
        document.documentElement.scrollWidth,
        document.documentElement.clientWidth,
      ])
      expect(wide, `${heading} is wider than the window`).toBeLessThanOrEqual(seen!)
      await shoot(on.page, `small-${width}-${heading.replace('/', '-')}`)
      await expectAccessible(on.page)
    }
    await on.page.setViewportSize({ width: 1280, height: 860 })
  })
})
