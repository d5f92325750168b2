// What guests say, in one line each. Their words are visible since they were decoded.

import type { Denial, Item, Metric } from './api/types.ts'
import { shortened, visible } from './api/visible.ts'
import { fromBase64 } from './format.ts'

// Bytes of one text of a guest that a page takes of what it is told live.
export const longest = 16 << 10

const longestName = 1 << 10 // bytes of a name of a metric, with its tags

export const denialText = (d: Denial) => [`${d.capability}: ${d.action}`, d.rule].filter(Boolean).join(' · ')

export function metricName(m: Metric): string {
  const tags = Object.entries(m.tags ?? {}).sort(([a], [b]) => a.localeCompare(b))
  const name = tags.length === 0 ? (m.name ?? '') : `${m.name}{${tags.map(([k, v]) => `${k}=${v}`).join(', ')}}`
  return shortened(name, longestName)
}

export function shownItem({ post, error }: Item): string {
  if (error) return `${error.kind}: ${error.message ?? ''}`
  return post?.raw === undefined
    ? (post?.json ?? 'null')
    : `${fromBase64(post.raw).length} bytes: ${visible(new TextDecoder().decode(fromBase64(post.raw)))}`
}
