import { useEffect, useState } from 'preact/hooks'

// A value that components can watch.
export interface Signal<T> {
  value: T
  subscribe(heard: () => void): () => void
}

export function signal<T>(first: T): Signal<T> {
  let held = first
  const listeners = new Set<() => void>()
  return {
    get value() {
      return held
    },
    set value(next: T) {
      if (Object.is(next, held)) return
      held = next
      for (const heard of [...listeners]) heard()
    },
    subscribe(heard) {
      listeners.add(heard)
      return () => void listeners.delete(heard)
    },
  }
}

export function useSignal<T>(s: Signal<T>): T {
  const [, show] = useState(0)
  useEffect(() => {
    const heard = () => show((n) => n + 1)
    heard() // it may have changed before it was watched
    return s.subscribe(heard)
  }, [s])
  return s.value
}
