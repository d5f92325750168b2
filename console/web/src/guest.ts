// What guests say, as it may be shown.

import type { Denial, Item, Metric } from './api/types.ts'
import { fromBase64 } from './format.ts'

// visible shows control characters, which a guest may print to look like somebody else.
export function visible(text: string): string {
  return text
    .replace(/\n$/, '')
    .replace(
      /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g,
      (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
    )
}

export const denialText = (d: Denial) => [`${d.capability}: ${d.action}`, d.rule].filter(Boolean).join(' · ')

export function metricName(m: Metric): string {
  const tags = Object.entries(m.tags ?? {}).sort(([a], [b]) => a.localeCompare(b))
  return tags.length === 0 ? (m.name ?? '') : `${m.name}{${tags.map(([k, v]) => `${k}=${v}`).join(', ')}}`
}

export function shownItem({ post, error }: Item): string {
  if (error) return visible(`${error.kind}: ${error.message ?? ''}`)
  return post?.raw === undefined
    ? visible(post?.json ?? 'null')
    : `${fromBase64(post.raw).length} bytes: ${visible(new TextDecoder().decode(fromBase64(post.raw)))}`
}
