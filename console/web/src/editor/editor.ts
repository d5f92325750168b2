// The editor of policies. It lives in a shadow root: there, its styles are sheets of the
// script's own, which the page's policy permits, and not elements, which it does not.

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from '@codemirror/autocomplete'
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands'
import { yaml } from '@codemirror/lang-yaml'
import { bracketMatching, indentOnInput, indentUnit } from '@codemirror/language'
import { lintGutter, lintKeymap, setDiagnostics, type Diagnostic } from '@codemirror/lint'
import { MergeView, unifiedMergeView } from '@codemirror/merge'
import { highlightSelectionMatches, searchKeymap } from '@codemirror/search'
import { EditorState, StateEffect, StateField, type Extension } from '@codemirror/state'
import {
  Decoration,
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  keymap,
  lineNumbers,
  type DecorationSet,
} from '@codemirror/view'

import type { Problem } from '../api/types.ts'
import { source } from './complete.ts'
import type { Schema } from './schema.ts'
import { theme } from './theme.ts'
import { validate } from './validate.ts'

export interface Editor {
  text(): string
  setText(text: string): void
  setSchema(schema: Schema): void
  // What the node found in a text; null: it has not looked at this one yet.
  setProblems(problems: Problem[] | null): void
  // Puts the cursor on a line, from 1, and shows it.
  jump(line: number): void
  focus(): void
  destroy(): void
}

// How long after the last key the schema is asked, in milliseconds: of a thousand rules that takes as long as several keys.
const pause = 150

export interface Options {
  host: HTMLElement
  text: string
  label: string
  onChange: (text: string) => void
}

const jumped = StateEffect.define<number | null>()

// The line that somebody was led to, until he goes on writing.
const jumpedLine = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, tr) {
    for (const effect of tr.effects) {
      if (effect.is(jumped))
        return effect.value === null
          ? Decoration.none
          : Decoration.set([Decoration.line({ class: 'cm-jumped' }).range(effect.value)])
    }
    return tr.docChanged ? Decoration.none : marks
  },
  provide: (field) => EditorView.decorations.from(field),
})

const common = (label: string): Extension => [
  lineNumbers(),
  yaml(),
  theme,
  indentUnit.of('  '),
  EditorView.contentAttributes.of({ 'aria-label': label, spellcheck: 'false', tabindex: '0' }),
]

// Tab leaves the editor, as it leaves every field; Ctrl+] and Ctrl+[ indent.
const writing: Extension = [
  history(),
  drawSelection(),
  bracketMatching(),
  closeBrackets(),
  indentOnInput(),
  highlightActiveLine(),
  highlightActiveLineGutter(),
  highlightSelectionMatches(),
  lintGutter(),
  jumpedLine,
  keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...completionKeymap, ...lintKeymap]),
]

const changes = (heard: (text: string) => void): Extension =>
  EditorView.updateListener.of((u) => u.docChanged && heard(u.state.doc.toString()))

const shadowOf = (host: HTMLElement) => host.shadowRoot ?? host.attachShadow({ mode: 'open' })

export function createEditor({ host, text, label, onChange }: Options): Editor {
  const root = shadowOf(host)
  let schema: Schema | undefined
  let told: Problem[] | null = null
  let later: number | undefined
  const view = new EditorView({
    parent: root,
    root,
    state: EditorState.create({
      doc: text,
      extensions: [
        common(label),
        writing,
        autocompletion({ icons: false, override: [source(() => schema)] }),
        changes((text) => {
          told = null
          window.clearTimeout(later)
          later = window.setTimeout(show, pause)
          onChange(text)
        }),
      ],
    }),
  })
  const show = () => {
    window.clearTimeout(later)
    const doc = view.state.doc.toString()
    const found: Diagnostic[] = told ? told.map((p) => diagnosticOf(view.state, p)) : schema ? validate(schema, doc) : []
    view.dispatch(setDiagnostics(view.state, found))
  }
  return {
    text: () => view.state.doc.toString(),
    setText: (next) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: next } }),
    setSchema: (next) => {
      schema = next
      show()
    },
    setProblems: (problems) => {
      told = problems
      show()
    },
    jump: (number) => {
      const line = view.state.doc.line(Math.min(Math.max(1, number), view.state.doc.lines))
      view.dispatch({
        selection: { anchor: line.from },
        effects: [jumped.of(line.from), EditorView.scrollIntoView(line.from, { y: 'center' })],
      })
      view.focus()
    },
    focus: () => view.focus(),
    destroy: () => {
      window.clearTimeout(later)
      view.destroy()
    },
  }
}

// diagnosticOf a problem: from its column to the end of the word there.
export function diagnosticOf(state: EditorState, p: Problem): Diagnostic {
  const line = state.doc.line(Math.min(Math.max(1, p.line ?? 1), state.doc.lines))
  // Columns count characters, and offsets UTF-16 units.
  const before = [...line.text].slice(0, Math.max(0, (p.column ?? 1) - 1)).join('')
  const from = line.from + Math.min(before.length, line.length)
  const word = /^[^\s,\]}:]+/.exec(line.text.slice(from - line.from))?.[0].length ?? 0
  return {
    from,
    to: Math.min(from + Math.max(word, 1), Math.max(line.to, from)),
    severity: 'error',
    source: 'node',
    message: p.hint ? `${p.message}\n${p.hint}` : (p.message ?? ''),
  }
}

// createDiff shows how a text differs from another, to be read.
export function createDiff(host: HTMLElement, before: string, after: string, label: string): () => void {
  const root = shadowOf(host)
  const view = new EditorView({
    parent: root,
    root,
    doc: after,
    extensions: [
      common(label),
      EditorState.readOnly.of(true),
      unifiedMergeView({ original: before, mergeControls: false, gutter: true, collapseUnchanged: { margin: 2, minSize: 4 } }),
    ],
  })
  return () => view.destroy()
}

interface MergeOptions {
  host: HTMLElement
  theirs: string
  mine: string
  onChange: (text: string) => void
}

// createMerge shows another's text beside one's own, which can be written, and takes single
// changes over.
export function createMerge({ host, theirs, mine, onChange }: MergeOptions): () => void {
  const root = shadowOf(host)
  const view = new MergeView({
    parent: root,
    root,
    a: { doc: theirs, extensions: [common('Their version'), EditorState.readOnly.of(true)] },
    b: { doc: mine, extensions: [common('Your version'), writing, changes(onChange)] },
    revertControls: 'a-to-b',
    renderRevertControl: () => {
      const button = document.createElement('button')
      button.type = 'button'
      button.textContent = '→'
      button.setAttribute('aria-label', 'Take their change over')
      button.title = 'Take their change over'
      return button
    },
    collapseUnchanged: { margin: 3, minSize: 6 },
    gutter: true,
  })
  return () => view.destroy()
}
