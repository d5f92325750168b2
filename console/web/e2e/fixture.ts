// A node that serves, and a browser on its console.

import type { Page } from 'playwright-core'
import { expect } from 'vitest'

import { textToBase64 } from '../src/format.ts'
import { openBrowser } from './browser.ts'
import { startNode, type Node } from './node.ts'

export const reader = `version: 1.0
sandboxes:
  reader:
    imports: [json]
    fs:
      - read: /etc/hostname
`

export interface Console {
  node: Node
  page: Page
  // Stores a version of team/reader, as somebody else does.
  put: (text: string, comment: string) => Promise<unknown>
  go: (hash: string, heading: string) => Promise<void>
  // Waits for a text to be on the page.
  says: (text: string | RegExp) => Promise<void>
  // Ends all, and fails when a page complained of something or asked for something elsewhere.
  close: () => Promise<void>
}

export async function openConsole(): Promise<Console> {
  const node = await startNode()
  const put: Console['put'] = (text, comment) =>
    node.call('PolicyService/Put', { name: 'team/reader', text: textToBase64(text), comment })
  await put(reader, 'first version')
  const browser = await openBrowser()
  const page = await browser.open(node.url)
  const elsewhere: string[] = []
  page.on('request', (r) => {
    if (!r.url().startsWith(new URL('/', node.url).href)) elsewhere.push(r.url())
  })
  return {
    node,
    page,
    put,
    go: async (hash, heading) => {
      await page.evaluate((to) => (location.hash = to), hash)
      await page.getByRole('heading', { level: 1, name: heading, exact: true }).waitFor()
    },
    says: (text) => page.getByText(text).first().waitFor(),
    close: async () => {
      await browser.close()
      await node.close()
      expect(browser.complaints).toEqual([])
      expect(elsewhere).toEqual([])
    },
  }
}

export const spawnCells = async (node: Node) => {
  await node.call('CellService/Spawn', { tenant: 'team', name: 'one', policy: { name: 'team/reader' } })
  await node.call('CellService/Spawn', { tenant: 'team', name: 'two', backend: 'process', policy: { name: 'team/reader' } })
}

// write replaces the document in an editor, as somebody does who pastes one.
export async function write(page: Page, text: string, into = page.locator('.cm-content').first()): Promise<void> {
  await into.click()
  await page.keyboard.press('ControlOrMeta+a')
  await into.evaluate((content, text) => {
    const clipboardData = new DataTransfer()
    clipboardData.setData('text/plain', text)
    content.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }))
  }, text)
}
