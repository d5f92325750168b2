import { useEffect } from 'preact/hooks'

// useFocusKept gives the focus to what is nearest to what had it, when that is taken off the page: else who uses the
// keyboard, or hears the page, is back at its beginning. What gets it does nothing when a key is pressed.
export function useFocusKept(): void {
  useEffect(() => {
    let near: (() => HTMLElement | null) | undefined
    let had: Element | undefined
    const focused = (e: FocusEvent) => {
      had = e.target as Element
      near = nearTo(had)
    }
    const changed = new MutationObserver(() => {
      if (!near || had?.isConnected || document.activeElement !== document.body) return
      const next = near()
      near = undefined
      if (!next) return
      if (next.tabIndex < 0) next.tabIndex = -1 // heard of by the browser: it can have the focus
      next.focus({ preventScroll: true })
    })
    document.addEventListener('focusin', focused)
    changed.observe(document.body, { childList: true, subtree: true })
    return () => {
      document.removeEventListener('focusin', focused)
      changed.disconnect()
    }
  }, [])
}

// nearTo an element: its row, the row in its place, the heading of its part of the page, or the page's.
function nearTo(el: Element): () => HTMLElement | null {
  const row = el.closest('tr')
  const body = row?.closest('tbody')
  const index = row?.sectionRowIndex ?? 0
  const part = el.closest('dialog, section')
  return () => {
    if (row?.isConnected) return row
    const rows = body?.isConnected ? body.rows : undefined
    if (rows?.length) return rows[Math.min(index, rows.length - 1)]!
    return (part?.isConnected && part.querySelector('h2')) || document.querySelector('h1')
  }
}
