import { useRef, useState } from 'preact/hooks'

export interface Kept<T> {
  items: readonly T[]
  push: (item: T) => void
  clear: () => void
}

// useKept keeps the last so many items, and shows them at most once a frame, however fast
// they come.
export function useKept<T>(most: number): Kept<T> {
  const [items, show] = useState<readonly T[]>([])
  const held = useRef<T[]>([])
  const frame = useRef(0)
  const later = () => {
    frame.current ||= requestAnimationFrame(() => {
      frame.current = 0
      show([...held.current])
    })
  }
  return {
    items,
    push: (item) => {
      held.current.push(item)
      if (held.current.length > most) held.current.splice(0, held.current.length - most)
      later()
    },
    clear: () => {
      held.current = []
      later()
    },
  }
}
