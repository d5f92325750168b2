import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'

import { count } from '../format.ts'

export interface Column<T> {
  name: string
  show: (row: T) => ComponentChildren
  by?: (row: T) => string | number // what it is sorted by; without it, it is not
  number?: boolean
}

// Rows that are drawn: more would keep a browser busy, and nobody reads them.
const most = 500

interface TableProps<T> {
  label: string
  rows: T[]
  columns: Column<T>[]
  keyOf: (row: T) => string
  empty: ComponentChildren
  sorted?: { column: string; down?: boolean }
}

// Table sorts by the column whose heading is pressed.
export function Table<T>({ label, rows, columns, keyOf, empty, sorted }: TableProps<T>) {
  const [order, setOrder] = useState(sorted)
  const by = columns.find((c) => c.name === order?.column)?.by
  const shown = (by ? sort(rows, by, order?.down ?? false) : rows).slice(0, most)
  const press = (name: string) => setOrder({ column: name, down: order?.column === name && !order.down })
  return (
    <div class="scroll" role="region" aria-label={label} tabIndex={0}>
      <table>
        <thead>
          <tr>
            {columns.map((c) => (
              <th
                key={c.name}
                scope="col"
                class={c.number ? 'number' : ''}
                aria-sort={order?.column === c.name ? (order.down ? 'descending' : 'ascending') : undefined}
              >
                {c.by ? (
                  <button type="button" class="sort" onClick={() => press(c.name)}>
                    {c.name}
                    <span aria-hidden="true">{order?.column === c.name ? (order.down ? ' ↓' : ' ↑') : ''}</span>
                  </button>
                ) : (
                  c.name || <span class="hidden">Actions</span>
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map((row) => (
            <tr key={keyOf(row)}>
              {columns.map((c) => (
                <td key={c.name} class={c.number ? 'number' : ''}>
                  {c.show(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length === 0 && <p class="empty">{empty}</p>}
      {rows.length > most && <p class="empty">{count(rows.length - most, 'more row')}: narrow them down with the filter.</p>}
    </div>
  )
}

// One for all: to make one for each comparison takes ten times as long.
const words = new Intl.Collator(undefined, { numeric: true })

export function sort<T>(rows: T[], by: (row: T) => string | number, down: boolean): T[] {
  const compare = (a: T, b: T) => {
    const [x, y] = [by(a), by(b)]
    return typeof x === 'number' && typeof y === 'number' ? x - y : words.compare(String(x), String(y))
  }
  return [...rows].sort((a, b) => (down ? compare(b, a) : compare(a, b)))
}

// matches says whether each word of a filter is in one of the texts.
export function matches(filter: string, ...texts: (string | undefined)[]): boolean {
  const all = texts.join('\n').toLowerCase()
  return filter
    .toLowerCase()
    .split(/\s+/)
    .every((word) => all.includes(word))
}

interface FilterProps {
  value: string
  onValue: (value: string) => void
  label: string
}

export function Filter({ value, onValue, label }: FilterProps) {
  return (
    <input
      type="search"
      class="filter"
      value={value}
      placeholder={label}
      aria-label={label}
      onInput={(e) => onValue(e.currentTarget.value)}
    />
  )
}
