import { beforeEach, expect, it, vi } from 'vitest'

vi.stubGlobal('sessionStorage', { getItem: () => null, setItem: () => {}, removeItem: () => {} })
vi.stubGlobal('localStorage', { getItem: () => null })
const { call, logIn, loggedOut, stream, token } = await import('../src/session.ts')

// What answers the last call, when a test lets it.
let answer: (of: Response) => void

beforeEach(() => {
  vi.stubGlobal('fetch', () => new Promise<Response>((done) => (answer = done)))
  logIn('first')
})

const refused = { code: 'unauthenticated', message: 'the token was revoked' }
const refusal = () => Response.json(refused, { status: 401 })

function refusalOfStream(): Response {
  const data = new TextEncoder().encode(JSON.stringify({ error: refused }))
  return new Response(new Uint8Array([2, 0, 0, 0, data.length, ...data]))
}

it.each([
  ['call', () => call('CellService/List', {}), refusal],
  ['stream', () => stream('CellService/Logs', {}).next(), refusalOfStream],
])('a %s ends the session that it was made in, and no other', async (_, begin, refusal) => {
  const late = begin()
  const answerLate = answer
  logIn('second')
  answerLate(refusal())
  await expect(late).rejects.toMatchObject({ kind: 'Unauthenticated' })
  expect([token.value, loggedOut.value]).toEqual(['second', ''])

  const now = begin()
  answer(refusal())
  await expect(now).rejects.toMatchObject({ kind: 'Unauthenticated' })
  expect([token.value, loggedOut.value]).toEqual(['', 'the token was revoked'])
})

it('a token for one call does not end the session', async () => {
  const called = call('CellService/List', {}, { token: 'stronger' })
  answer(refusal())
  await expect(called).rejects.toMatchObject({ kind: 'Unauthenticated' })
  expect(token.value).toBe('first')
})
