// One Chromium, as a person would have it, without any network but this machine's.

import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { createRequire } from 'node:module'
import { join } from 'node:path'

import { chromium, type BrowserContext, type Page } from 'playwright-core'
import { expect } from 'vitest'

const shots = join(import.meta.dirname, '../../../bin/console-shots')

export interface Browser {
  open: (url: string) => Promise<Page>
  // What pages complained of: scripts that failed, and what their policy refused.
  complaints: string[]
  close: () => Promise<void>
}

export async function openBrowser(): Promise<Browser> {
  const profile = mkdtempSync(join(tmpdir(), 'console-'))
  const context: BrowserContext = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    viewport: { width: 1280, height: 860 },
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
  context.setDefaultTimeout(20_000) // machines that test are busy
  const complaints: string[] = []
  return {
    complaints,
    open: async (url) => {
      const page = await context.newPage()
      page.on('pageerror', (err) => complaints.push(err.message))
      page.on('console', (m) => {
        // A browser tells of each answer that is not 2xx; pages tell of those themselves.
        if (m.type() === 'error' && !m.text().startsWith('Failed to load resource'))
          complaints.push(
            `${m.text()} at ${m.location().url}:${m.location().lineNumber}:${m.location().columnNumber}, on ${page.url()}`,
          )
      })
      await page.goto(url)
      return page
    },
    close: async () => {
      await context.close()
      rmSync(profile, { recursive: true, force: true, maxRetries: 3 })
    },
  }
}

export async function shoot(page: Page, name: string): Promise<void> {
  mkdirSync(shots, { recursive: true })
  await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true })
}

export async function logIn(page: Page, token: string): Promise<void> {
  await page.getByLabel('Token').fill(token)
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.getByRole('navigation').waitFor()
}

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

interface Violation {
  id: string
  help: string
  nodes: { html: string; failureSummary?: string }[]
}

// expectAccessible holds a page to WCAG 2.2 AA, as far as a machine can.
export async function expectAccessible(page: Page): Promise<void> {
  // The debugger's own way in: the page's policy has no say in it. But it has in what axe would
  // preload, which no rule that is run needs.
  const violations = await page.evaluate(
    async ([source]) => {
      if (!('axe' in window)) (0, eval)(source!)
      const run = (window as unknown as { axe: { run: (on: Document, o: object) => Promise<{ violations: Violation[] }> } }).axe
        .run
      return (
        await run(document, {
          runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
          preload: false,
        })
      ).violations
    },
    [axe],
  )
  expect(
    violations.map(
      (v) => `${v.id}: ${v.help}\n${v.nodes.map((n) => `  ${n.html.slice(0, 200)}\n  ${n.failureSummary}`).join('\n')}`,
    ),
  ).toEqual([])
}
