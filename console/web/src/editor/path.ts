// Where in a YAML document something is being written, told from the text above it alone: a
// document that is being written is seldom whole.

export interface Place {
  path: string[] // keys from the top; "*" is an entry of a list
  key: boolean // a key is being written, and otherwise the value at the path
  from: number // where the word that is being written begins
  present: string[] // keys that the map has already, where a key is being written
}

interface Level {
  indent: number
  key?: string // without it, an entry of a list
}

const keyOf = /^("[^"]*"|'[^']*'|[^\s#"'[\]{},&*!|>%@`-][^:#]*?|-[^\s:#][^:#]*?)\s*:(?:\s|$)/

const unquote = (text: string) => text.replace(/^(["'])(.*)\1$/, '$2')

// levelsOf a line: "  - read: /x" is an entry at 2 and the key "read" at 4.
function levelsOf(line: string): { levels: Level[]; rest: string; at: number } {
  const levels: Level[] = []
  let at = line.length - line.trimStart().length
  let entry: RegExpExecArray | null
  while ((entry = /^-(\s+|$)/.exec(line.slice(at)))) {
    levels.push({ indent: at })
    at += entry[0].length
  }
  const key = keyOf.exec(line.slice(at))
  if (key) {
    levels.push({ indent: at, key: unquote(key[1]!) })
    at += key[0].length
  }
  return { levels, rest: line.slice(at), at }
}

const isBlank = (line: string) => /^\s*(#|$)/.test(line)

// placeAt an offset of a text.
export function placeAt(text: string, offset: number): Place {
  const start = text.lastIndexOf('\n', offset - 1) + 1
  const lines = text.slice(0, start).split('\n').slice(0, -1)
  const { levels, rest, at } = levelsOf(text.slice(start, offset))
  const last = levels.at(-1)
  const path = levels.map((l) => l.key ?? '*')
  const outermost = levels[0]?.indent ?? at
  const full = [...above(lines, outermost, levels[0] ? levels[0].key === undefined : false), ...path]
  if (last?.key !== undefined)
    return (
      flow(rest, full, start + at) ?? {
        path: full,
        key: false,
        from: start + at + (rest.length - rest.trimStart().length),
        present: [],
      }
    )
  const inFlow = flow(rest, full, start + at)
  if (inFlow) return inFlow
  return { path: full, key: true, from: start + at, present: siblings(text, levels.length > 0 ? [] : lines, start, at) }
}

// above is the path to what is indented so far, and is an entry of a list or not.
function above(lines: string[], indent: number, entry: boolean): string[] {
  const path: string[] = []
  // A list may stand as far left as its key.
  let limit = entry ? indent + 1 : indent
  for (let i = lines.length - 1; i >= 0 && limit > 0; i--) {
    if (isBlank(lines[i]!)) continue
    for (const level of levelsOf(lines[i]!).levels.reverse()) {
      if (level.indent >= limit || (entry && level.key === undefined && level.indent === indent)) continue
      path.unshift(level.key ?? '*')
      limit = level.key === undefined ? level.indent + 1 : level.indent
      entry = level.key === undefined
      indent = level.indent
    }
  }
  return path
}

// siblings are the keys of the map that has its keys at a column, around a line. A line that begins an entry has none before it.
function siblings(text: string, before: string[], start: number, column: number): string[] {
  const end = text.indexOf('\n', start)
  const after = end < 0 ? [] : text.slice(end + 1).split('\n')
  const found: string[] = []
  for (const lines of [[...before].reverse(), after]) {
    for (const line of lines) {
      if (isBlank(line)) continue
      const { levels } = levelsOf(line)
      const here = levels.find((l) => l.key !== undefined && l.indent === column)
      const starts = levels[0] !== undefined && levels[0].key === undefined && levels[0].indent < column
      if (lines === after && starts) break
      if (here) found.push(here.key!)
      if (starts || (levels[0]?.indent ?? column) < column) break
    }
  }
  return found
}

// flow follows [lists] and {maps} that are opened in one line and not closed; undefined when
// there is none.
function flow(rest: string, base: string[], at: number): Place | undefined {
  const open: { list: boolean; path: string[]; present: string[] }[] = []
  let word = 0 // where the present entry begins
  let key: string | undefined
  for (let i = 0; i < rest.length; i++) {
    const c = rest[i]!
    const top = open.at(-1)
    if (c === '"' || c === "'") {
      const close = rest.indexOf(c, i + 1)
      if (close < 0) break
      i = close
    } else if (c === '[' || c === '{') {
      const parent = top === undefined ? base : top.list ? top.path : [...top.path, key ?? '']
      open.push({ list: c === '[', path: c === '[' ? [...parent, '*'] : parent, present: [] })
      word = i + 1
      key = undefined
    } else if (c === ']' || c === '}') {
      open.pop()
      key = undefined
    } else if (c === ',' && top) {
      word = i + 1
      key = undefined
    } else if (c === ':' && top && !top.list && /[\s]/.test(rest[i + 1] ?? ' ')) {
      key = unquote(rest.slice(word, i).trim())
      top.present.push(key)
      word = i + 1
    }
  }
  const top = open.at(-1)
  if (!top) return undefined
  const from = at + word + (rest.slice(word).length - rest.slice(word).trimStart().length)
  if (top.list) return { path: top.path, key: false, from, present: [] }
  return key === undefined
    ? { path: top.path, key: true, from, present: top.present }
    : { path: [...top.path, key], key: false, from, present: [] }
}
