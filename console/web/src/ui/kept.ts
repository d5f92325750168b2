import { useRef, useState } from 'preact/hooks'

// Last keeps the newest items: so many, and so many characters of their texts. The newest one it
// keeps whatever it has.
export class Last<T> {
  private held: { item: T; size: number }[] = []
  private size = 0

  constructor(
    private readonly most: number,
    private readonly room: number,
  ) {}

  get items(): T[] {
    return this.held.map(({ item }) => item)
  }

  push(item: T): void {
    const size = sizeOf(item)
    this.held.push({ item, size })
    this.size += size
    let gone = 0
    while (gone < this.held.length - 1 && (this.held.length - gone > this.most || this.size > this.room))
      this.size -= this.held[gone++]!.size
    this.held.splice(0, gone)
  }

  clear(): void {
    this.held = []
    this.size = 0
  }
}

// sizeOf a decoded message: the characters of its texts, and of its keys.
function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length
  if (typeof value !== 'object' || value === null) return 0
  return Object.entries(value).reduce((sum, [key, held]) => sum + key.length + sizeOf(held), 0)
}

export interface Kept<T> {
  items: readonly T[]
  push: (item: T) => void
  clear: () => void
}

// useKept keeps the last items, so many and so many characters, and shows them at most once a
// frame, however fast they come.
export function useKept<T>(most: number, room: number): Kept<T> {
  const [items, show] = useState<readonly T[]>([])
  const [held] = useState(() => new Last<T>(most, room))
  const frame = useRef(0)
  const later = () => {
    frame.current ||= requestAnimationFrame(() => {
      frame.current = 0
      show(held.items)
    })
  }
  return {
    items,
    push: (item) => {
      held.push(item)
      later()
    },
    clear: () => {
      held.clear()
      later()
    },
  }
}
