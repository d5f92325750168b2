import { figure } from '../format.ts'
import { metricName } from '../guest.ts'
import type { Line } from './output.tsx'

interface Series {
  name: string
  values: number[]
}

export function seriesOf(lines: Line[]): Series[] {
  const by = new Map<string, Series>()
  for (const { metric } of lines) {
    if (!metric) continue
    const name = metricName(metric)
    const series = by.get(name) ?? { name, values: [] }
    series.values.push(Number(metric.value ?? 0)) // what is no number in JSON is a word
    by.set(name, series)
  }
  return [...by.values()].sort((a, b) => a.name.localeCompare(b.name))
}

// Metrics that the guest has told, each with its last values.
export function Metrics({ lines }: { lines: Line[] }) {
  const all = seriesOf(lines)
  if (all.length === 0)
    return (
      <p class="empty">
        No metrics yet. Code in the cell records one with <code>metric("name", value)</code>.
      </p>
    )
  return (
    <ul class="metrics">
      {all.map((s) => (
        <li key={s.name}>
          <span class="metricname">{s.name}</span>
          <Spark values={s.values.slice(-60)} />
          <span class="metricvalue">{figure(s.values.at(-1) ?? 0)}</span>
        </li>
      ))}
    </ul>
  )
}

const [width, height] = [120, 24]

// Spark is for the eye alone: the number beside it says the last value.
function Spark({ values }: { values: number[] }) {
  const drawn = values.filter(Number.isFinite)
  const [low, high] = [Math.min(...drawn), Math.max(...drawn)]
  const span = high - low || 1 // it may be more than a number holds
  const points = drawn.map((v, i) => {
    const x = drawn.length === 1 ? width : (i / (drawn.length - 1)) * width
    return `${x.toFixed(1)},${(height - 2 - (v / span - low / span) * (height - 4)).toFixed(1)}`
  })
  return (
    <svg class="spark" viewBox={`0 0 ${width} ${height}`} width={width} height={height} aria-hidden="true">
      <polyline points={points.join(' ')} />
    </svg>
  )
}
