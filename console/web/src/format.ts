// Words and numbers for people.

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

export function bytes(text: string | undefined): string {
  let n = Number(text ?? 0)
  let unit = 0
  for (; n >= 1024 && unit < units.length - 1; unit++) n /= 1024
  return `${unit === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[unit]}`
}

// seconds of a duration as protobuf writes it: "1.5s".
export const seconds = (text: string | undefined): number => Number((text ?? '0s').replace(/s$/, ''))

const steps: [number, string][] = [
  [86_400, 'd'],
  [3600, 'h'],
  [60, 'min'],
  [1, 's'],
]

export function duration(s: number): string {
  if (s < 1) return `${Math.round(s * 1000)} ms`
  if (s < 60) return `${s.toFixed(s < 10 ? 2 : 1)} s`
  const from = steps.findIndex(([step]) => s >= step)
  const [big, name] = steps[from]!
  const rest = steps[from + 1]
  const less = rest ? Math.floor((s % big) / rest[0]) : 0
  return `${Math.floor(s / big)} ${name}${less > 0 ? ` ${less} ${rest![1]}` : ''}`
}

export function ago(at: string | undefined, now: number): string {
  if (!at) return ''
  const s = Math.max(0, (now - Date.parse(at)) / 1000)
  if (s < 5) return 'now'
  const [step, name] = steps.find(([step]) => s >= step)!
  return `${Math.floor(s / step)} ${name} ago`
}

export const clock = (at: string | undefined): string =>
  at ? new Date(at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false }) : ''

export const date = (at: string | undefined): string =>
  at ? new Date(at).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' }) : ''

// instant is in microseconds, which Date.parse does not tell apart, to put in order what happened in one millisecond.
export function instant(at: string | undefined): number {
  if (!at) return 0
  const fraction = /\.(\d+)/.exec(at)?.[1] ?? ''
  return Math.floor(Date.parse(at) / 1000) * 1e6 + Number(fraction.slice(0, 6).padEnd(6, '0'))
}

// figure is a number that a guest has told. It has few digits, however large or small it is.
export function figure(n: number): string {
  if (!Number.isFinite(n)) return String(n)
  const size = Math.abs(n)
  if (size >= 1e15 || (size > 0 && size < 1e-4))
    return n.toLocaleString([], { notation: 'scientific', maximumSignificantDigits: 6 })
  return n.toLocaleString([], size < 1 ? { maximumSignificantDigits: 6 } : {})
}

export const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`

// Bytes of the API are base64.
export function fromBase64(text: string | undefined): Uint8Array {
  return Uint8Array.from(atob(text ?? ''), (c) => c.charCodeAt(0))
}

export const textFromBase64 = (text: string | undefined): string => new TextDecoder().decode(fromBase64(text))

export function textToBase64(text: string): string {
  let binary = ''
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte)
  return btoa(binary)
}

export const hex = (base64: string | undefined): string =>
  Array.from(fromBase64(base64), (b) => b.toString(16).padStart(2, '0')).join('')
