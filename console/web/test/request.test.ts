import { expect, it } from 'vitest'

import { repeatable } from '../src/api/request.ts'

it('a request has one id while it is the same, and another dialog another', () => {
  const withId = repeatable()
  const first = withId({ name: 'a', comment: '' })
  expect(first).toEqual({ name: 'a', comment: '', requestId: expect.stringMatching(/^[0-9a-f]{32}$/) })
  expect(withId({ name: 'a', comment: '' })).toEqual(first)
  expect(withId({ name: 'a', comment: 'why' }).requestId).not.toBe(first.requestId)
  expect(repeatable()({ name: 'a', comment: '' }).requestId).not.toBe(first.requestId)
})
