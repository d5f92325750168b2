// What goes on while a page is looked at: calls again and again, and streams that are taken
// up where they broke off. A tab that nobody sees does neither, and lets go of what is under way:
// browsers give one server six connections, which all tabs share.

import { useEffect, useRef, useState } from 'preact/hooks'

import { reach } from './api/client.ts'
import { CallError, isKind, textOf } from './api/errors.ts'

export interface Live<T> {
  value?: T
  error?: string // of the last try; the value is the one before
  kind?: string // of that error, if it is one of the API's
  again: () => void
}

// How long one of the calls may take, in milliseconds, before it is made anew.
const patience = 15_000

const visible = () => document.visibilityState === 'visible'

function onVisible(heard: () => void): () => void {
  document.addEventListener('visibilitychange', heard)
  return () => document.removeEventListener('visibilitychange', heard)
}

// usePolled asks now, every so many milliseconds (0: never again; less often where answers
// take long, but never later than after `patience`), and when `again` is called.
export function usePolled<T>(ask: (signal: AbortSignal) => Promise<T>, every: number, on: unknown[]): Live<T> {
  const [state, setState] = useState<Omit<Live<T>, 'again'>>({})
  const again = useRef(() => {})
  useEffect(() => {
    const stop = new AbortController()
    let timer: number | undefined
    let asking = false
    let wanted = false
    let letGo = () => {} // of the call that is under way
    const run = async () => {
      window.clearTimeout(timer)
      wanted = asking || !visible()
      if (wanted) return
      asking = true
      const unseen = new AbortController()
      letGo = () => unseen.abort()
      const began = performance.now()
      try {
        const value = await ask(AbortSignal.any([stop.signal, unseen.signal, AbortSignal.timeout(patience)]))
        if (!stop.signal.aborted) setState({ value })
      } catch (err) {
        if (!stop.signal.aborted && !unseen.signal.aborted)
          setState(({ value }) => ({ value, error: textOf(err), kind: err instanceof CallError ? err.kind : undefined }))
      }
      asking = false
      if (stop.signal.aborted) return
      if (wanted) void run()
      else if (every > 0) timer = window.setTimeout(run, Math.min(patience, Math.max(every, 8 * (performance.now() - began))))
    }
    again.current = () => void run()
    setState({})
    void run()
    const off = onVisible(() => (visible() ? void run() : letGo()))
    return () => {
      stop.abort()
      window.clearTimeout(timer)
      off()
    }
  }, on)
  return { ...state, again: () => again.current() }
}

export type StreamState = 'connecting' | 'live' | 'stale' | 'paused' | 'ended' | 'unavailable'

// Pauses before a stream is tried again, in milliseconds.
const pauses = [500, 1000, 2000, 5000, 10_000]

// Milliseconds after which a stream that has said nothing is doubted.
const beat = 5000

// watch tells whether the node answers, whenever nothing was heard of it for a while: no stream says that it is alive, and
// a connection can end without a word.
async function watch(signal: AbortSignal, heard: () => boolean, tell: (error?: string) => void): Promise<void> {
  for (let pause = 300; ; pause = beat) {
    await new Promise((done) => window.setTimeout(done, pause))
    if (signal.aborted) return
    if (heard()) continue
    const error = await reach(AbortSignal.any([signal, AbortSignal.timeout(patience)])).then(() => undefined, textOf)
    if (signal.aborted) return
    if (!heard()) tell(error)
  }
}

// useStream takes what comes until the stream ends by itself. `open` is called for each try. A node
// tells anew what it has kept: `begin` forgets what was taken, when a try brings something or another stream is meant.
export function useStream<T>(
  open: (signal: AbortSignal) => AsyncIterable<T>,
  take: (item: T) => void,
  begin: () => void,
  on: unknown[],
): { state: StreamState; error?: string } {
  const [state, setState] = useState<{ state: StreamState; error?: string }>({ state: 'connecting' })
  useEffect(() => {
    let stop = new AbortController()
    let over = false
    let failures = 0
    let timer: number | undefined
    const run = async (signal: AbortSignal) => {
      setState({ state: 'connecting' })
      // It is known to be open when something comes, and taken to be when the node answers.
      let known: StreamState = 'connecting'
      const is = (state: StreamState, error?: string) => {
        if (known !== state && !signal.aborted) setState({ state, error })
        known = state
      }
      let heard = false // something, since the last question whether it was
      const news = () => {
        const was = heard
        heard = false
        return was
      }
      const tell = (error?: string) => {
        if (error) is('stale', error)
        else if (known === 'stale')
          resume() // its connection may be dead, and nobody says so
        else is('live')
      }
      const ended = new AbortController()
      void watch(AbortSignal.any([signal, ended.signal]), news, tell)
      let items = 0
      try {
        for await (const item of open(signal)) {
          failures = 0
          if (signal.aborted) return
          heard = true
          is('live')
          if (items++ === 0) begin()
          take(item)
        }
        over = true
        if (!signal.aborted) setState({ state: 'ended' })
      } catch (err) {
        if (signal.aborted) return
        over = isKind(err, 'Unimplemented', 'NotFound', 'CellGone', 'PolicyAuth', 'Unauthenticated')
        setState({ state: isKind(err, 'CellGone') ? 'ended' : over ? 'unavailable' : 'connecting', error: textOf(err) })
        if (!over) timer = window.setTimeout(() => void run(signal), pauses[Math.min(failures++, pauses.length - 1)])
      } finally {
        ended.abort()
      }
    }
    const resume = () => {
      stop.abort()
      window.clearTimeout(timer)
      if (over) return
      if (!visible()) return setState({ state: 'paused' })
      stop = new AbortController()
      void run(stop.signal)
    }
    begin()
    resume()
    const off = onVisible(resume)
    return () => {
      over = true
      stop.abort()
      window.clearTimeout(timer)
      off()
    }
  }, on)
  return state
}

// useNow is the time, again every so many milliseconds.
export function useNow(every = 1000): number {
  const [now, setNow] = useState(Date.now())
  useEffect(() => {
    const timer = window.setInterval(() => visible() && setNow(Date.now()), every)
    return () => window.clearInterval(timer)
  }, [every])
  return now
}
