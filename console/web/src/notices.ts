// What has failed after the dialog or the page where it was begun was left: it is told above whatever page is shown then.

import { textOf } from './api/errors.ts'
import { signal } from './signal.ts'

export interface Notice {
  what: string // was tried
  why: string
}

export const notices = signal<Notice[]>([])

const most = 20 // the newest

export function notify(what: string, err: unknown): void {
  notices.value = [...notices.value, { what, why: textOf(err) }].slice(-most)
}

export function dismiss(notice: Notice): void {
  notices.value = notices.value.filter((n) => n !== notice)
}
