import { describe, expect, it, vi } from 'vitest'

import { ago, bytes, count, duration, hex, instant, seconds, textFromBase64, textToBase64 } from '../src/format.ts'
import { allVisible, shortened, visible } from '../src/api/visible.ts'
import { metricName, shownItem } from '../src/guest.ts'

vi.stubGlobal('location', { hash: '' })
const { href, parse } = await import('../src/route.ts')
const { Last } = await import('../src/ui/kept.ts')
const { matches, sort } = await import('../src/ui/table.tsx')

it.each([
  [undefined, '0 B'],
  ['1023', '1023 B'],
  ['1024', '1.0 KiB'],
  ['67108864', '64.0 MiB'],
  ['1099511627776', '1.0 TiB'],
  ['10995116277760000', '10000 TiB'],
])('bytes %s', (n, text) => expect(bytes(n)).toBe(text))

it.each([
  ['0s', '0 ms'],
  ['0.0213s', '21 ms'],
  ['1.5s', '1.50 s'],
  ['59.99s', '60.0 s'],
  ['61s', '1 min 1 s'],
  ['3600s', '1 h'],
  ['90061s', '1 d 1 h'],
])('duration %s', (s, text) => expect(duration(seconds(s))).toBe(text))

it.each([
  [undefined, ''],
  ['2026-01-01T00:00:00Z', '2 min ago'],
  ['2026-01-01T00:02:27Z', 'now'],
  ['2026-01-01T00:02:20Z', '10 s ago'],
  ['2027-01-01T00:00:00Z', 'now'],
  ['2025-12-25T00:00:00Z', '7 d ago'],
])('ago %s', (at, text) => expect(ago(at, Date.parse('2026-01-01T00:02:30Z'))).toBe(text))

it('counts', () =>
  expect([count(1, 'cell'), count(0, 'cell'), count(2, 'policy', 'policies')]).toEqual(['1 cell', '0 cells', '2 policies']))

it('base64 there and back', () => {
  const text = 'version: 1.0\n# ü 🐍 \u0000'
  expect(textFromBase64(textToBase64(text))).toBe(text)
  expect(hex('AP8Q')).toBe('00ff10')
  expect(textFromBase64(undefined)).toBe('')
})

describe('addresses', () => {
  it.each([
    [{ page: 'cells' }],
    [{ page: 'nodes' }],
    [{ page: 'denials' }],
    [{ page: 'events' }],
    [{ page: 'policies' }],
    [{ page: 'cell', tenant: 'team', name: 'a/b c' }],
    [{ page: 'policy', name: 'team/reader', tab: 'edit' }],
    [{ page: 'policy', name: 'x', tab: 'history' }],
  ] as const)('%j there and back', (route) => expect(parse(href(route))).toEqual(route))
  it.each(['', '#', '#/', '#/nowhere', '#/cells/only'])('%s is the list of cells', (hash) =>
    expect(parse(hash)).toEqual({ page: 'cells' }),
  )
  it('what is no escape is itself', () => expect(parse('#/policies/%zz')).toEqual({ page: 'policy', name: '%zz', tab: 'edit' }))
})

describe('tables', () => {
  it.each([
    ['', true],
    ['team', true],
    ['TEAM etl', true],
    ['etl team', true],
    ['team other', false],
  ])('filter %s', (filter, fits) => expect(matches(filter, 'team', 'etl', undefined)).toBe(fits))
  it('sort numbers as numbers, and names as people do', () => {
    expect(sort([10, 9, 100], (n) => n, false)).toEqual([9, 10, 100])
    expect(sort(['c10', 'c9', 'C1'], (s) => s, true)).toEqual(['c10', 'c9', 'C1'])
  })
})

describe('what a guest says', () => {
  it.each([
    ['plain ü\n', 'plain ü\n'],
    ['a\nb\tc', 'a\nb\tc'],
    ['\u001b[31mred', '\\u001b[31mred'],
    ['a\rb', 'a\\u000db'],
    ['x\u202egnp.exe', 'x\\u202egnp.exe'],
    ['\u0000', '\\u0000'],
    ['a\u061cb', 'a\\u061cb'],
    ['a\u00adb\u034fc\u3164', 'a\\u00adb\\u034fc\\u3164'],
    ['a\u2028b\u2029c', 'a\\u2028b\\u2029c'],
    ['a\u2060b\u2064c', 'a\\u2060b\\u2064c'],
    ['a\u{e0001}\u{e007f}', 'a\\U000e0001\\U000e007f'],
    ['⚠\ufe0f a\ufe0f', '⚠\ufe0f a\\ufe0f'],
    ['日本語 עברית 🐍', '日本語 עברית 🐍'],
  ])('%j', (text, shown) => expect(visible(text)).toBe(shown))
  it('names a metric by its tags, in order', () => {
    expect(metricName({ name: 'rows', tags: { b: '2', a: '1' } })).toBe('rows{a=1, b=2}')
    expect(metricName({ name: 'rows' })).toBe('rows')
  })
  it.each([
    [{ post: { json: '{"a":1}' } }, '{"a":1}'],
    [{ post: { raw: textToBase64('hi') } }, '2 bytes: hi'],
    [{ post: { raw: textToBase64('\u202e') } }, '3 bytes: \\u202e'],
    [{ post: { raw: '' } }, '0 bytes: '],
    [{ error: { kind: 'Timeout', message: 'm' } }, 'Timeout: m'],
  ])('item %j', (item, text) => expect(shownItem(item)).toBe(text))
})

it('instants are in order within a millisecond, however many digits a node writes', () => {
  const at = [
    '2026-01-02T03:04:05Z',
    '2026-01-02T03:04:05.000001Z',
    '2026-01-02T03:04:05.0005Z',
    '2026-01-02T03:04:05.123456789Z',
    '2026-01-02T03:04:06Z',
  ]
  expect(at.map(instant).toSorted((a, b) => a - b)).toEqual(at.map(instant))
  expect(new Set(at.map(instant)).size).toBe(at.length)
  expect(instant(undefined)).toBe(0)
})

describe('of long texts', () => {
  it.each([
    ['it is short', 'it is short'],
    ['sixteen ü bytes', 'sixteen ü bytes'],
    ['seventeen ü bytes', 'seventeen ü byt… 2 more characters'],
    ['\ufeff'.repeat(6), `${'\ufeff'.repeat(5)}… 1 more characters`],
    ['🐍'.repeat(5), `${'🐍'.repeat(4)}… 2 more characters`],
  ])('the beginning of %j stays', (text, short) => expect(shortened(text, 16)).toBe(short))
  it('each in a message is shortened, and nothing else', () => {
    const long = 'x'.repeat(20)
    const short = `${'x'.repeat(16)}… 4 more characters`
    expect(allVisible({ metric: { name: long, value: 1, tags: { [long]: '\u202e' } }, list: [long, true] }, 16)).toEqual({
      metric: { name: short, value: 1, tags: { [short]: '\\u202e' } },
      list: [short, true],
    })
  })
  it('a name of a metric has a kilobyte', () => {
    const tags = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`tag${i}`, 'v'.repeat(100)]))
    expect(metricName({ name: 'rows', tags }).length).toBeLessThan(1100)
  })
})

describe('of what comes without end', () => {
  const kept = (most: number, room: number, items: unknown[]) => {
    const last = new Last(most, room)
    for (const item of items) last.push(item)
    return last.items
  }
  it('the last are kept', () => expect(kept(3, 100, [1, 2, 3, 4, 5])).toEqual([3, 4, 5]))
  it('so many characters are kept', () => {
    const lines = Array.from({ length: 1000 }, (_, key) => ({ log: { message: 'x'.repeat(16 << 10) }, key }))
    const items = kept(1000, 1 << 20, lines)
    expect(items).toEqual(lines.slice(-items.length))
    expect(items.length).toBe(63)
  })
  it('the newest is kept, and what comes after it, too', () => {
    const [small, large] = ['s', 'l'.repeat(20)]
    expect(kept(10, 16, [small, large])).toEqual([large])
    expect(kept(10, 16, [small, large, small, small])).toEqual([small, small])
  })
  it('nothing is left of what was before', () => {
    const last = new Last<string>(10, 16)
    last.push('x'.repeat(16))
    last.clear()
    last.push('a')
    last.push('b')
    expect(last.items).toEqual(['a', 'b'])
  })
})
