// What guests say, in one line each. Their words are visible since they were decoded.

import type { Denial, Item, Metric } from './api/types.ts'
import { visible } from './api/visible.ts'
import { fromBase64 } from './format.ts'

export const denialText = (d: Denial) => [`${d.capability}: ${d.action}`, d.rule].filter(Boolean).join(' · ')

export function metricName(m: Metric): string {
  const tags = Object.entries(m.tags ?? {}).sort(([a], [b]) => a.localeCompare(b))
  return tags.length === 0 ? (m.name ?? '') : `${m.name}{${tags.map(([k, v]) => `${k}=${v}`).join(', ')}}`
}

export function shownItem({ post, error }: Item): string {
  if (error) return `${error.kind}: ${error.message ?? ''}`
  return post?.raw === undefined
    ? (post?.json ?? 'null')
    : `${fromBase64(post.raw).length} bytes: ${visible(new TextDecoder().decode(fromBase64(post.raw)))}`
}
