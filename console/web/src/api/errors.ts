import type { ErrorDetail } from './types.ts'

// CallError is a failed call. `kind` is a word of docs/errors.md or docs/serving.md, and
// "Unreachable" when no node answered.
export class CallError extends Error {
  readonly kind: string
  readonly detail: ErrorDetail

  constructor(detail: ErrorDetail) {
    super(detail.message ?? detail.kind ?? 'the call failed')
    this.name = 'CallError'
    this.kind = detail.kind ?? 'Internal'
    this.detail = detail
  }

  // What a reader is shown, in one line.
  get text(): string {
    return this.detail.hint ? `${this.message}; ${this.detail.hint}` : this.message
  }
}

// What Connect's codes mean where no detail says more.
const kinds: Record<string, string> = {
  canceled: 'Cancelled',
  deadline_exceeded: 'Timeout',
  invalid_argument: 'Invalid',
  not_found: 'NotFound',
  unauthenticated: 'Unauthenticated',
  permission_denied: 'PolicyAuth',
  unavailable: 'Unavailable',
  unimplemented: 'Unimplemented',
}

interface Wire {
  code?: string
  message?: string
  details?: { type?: string; debug?: unknown }[]
}

// errorOf an error of Connect's: its detail as the node had it, where there is one.
export function errorOf(sent: unknown): CallError {
  const wire = (typeof sent === 'object' && sent !== null ? sent : {}) as Wire
  const detail = wire.details?.find((d) => d.type === 'pyisolate.v1.ErrorDetail')?.debug
  if (typeof detail === 'object' && detail !== null) return new CallError(detail as ErrorDetail)
  return new CallError({
    kind: kinds[wire.code ?? ''] ?? 'Internal',
    message: wire.message || wire.code || 'the answer could not be read',
  })
}

export const unreachable = (why: string) => new CallError({ kind: 'Unreachable', message: `the node does not answer: ${why}` })

// Whether err is a failed call of one of these kinds.
export function isKind(err: unknown, ...of: string[]): err is CallError {
  return err instanceof CallError && of.includes(err.kind)
}

export function textOf(err: unknown): string {
  if (err instanceof DOMException && err.name === 'TimeoutError') return 'the node has not answered in time'
  return err instanceof CallError ? err.text : err instanceof Error ? err.message : String(err)
}
