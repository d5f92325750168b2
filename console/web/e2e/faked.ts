// Pages of a node that answers as a test tells it to: see fake.ts. They are closed when the test ends.

import type { Page } from 'playwright-core'
import { afterEach } from 'vitest'

import { logIn, openBrowser, type Browser } from './browser.ts'
import { serveFake, type Answers, type Fake, type Streaming } from './fake.ts'
import { answers, streams } from './sample.ts'

let browser: Browser | undefined
let fake: Fake | undefined

afterEach(async () => {
  await browser?.close()
  await fake?.close()
})

// open logs in at a node that answers as the sample does, but for what the test says. One at a time.
export async function open(
  hash: string,
  more: { answers?: Answers; streams?: Streaming; alive?: () => Promise<void> } = {},
): Promise<Page> {
  fake = await serveFake({ ...answers, ...more.answers }, { ...streams, ...more.streams }, more.alive)
  browser = await openBrowser()
  const page = await browser.open(fake.url + hash)
  await logIn(page, 'operator')
  return page
}

export const complaints = (): string[] | undefined => browser?.complaints

export const held = (): string[] | undefined => fake?.held()
