import { HighlightStyle, syntaxHighlighting } from '@codemirror/language'
import { EditorView } from '@codemirror/view'
import { tags } from '@lezer/highlight'

// Colours are the page's own, which reach into the editor's shadow.
export const theme = [
  EditorView.theme({
    '&': { color: 'var(--text)', backgroundColor: 'var(--field)', height: '100%', fontSize: '13px' },
    '&.cm-focused': { outline: 'none' }, // the box around it shows that
    '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.55' },
    '.cm-content': { caretColor: 'var(--text)', padding: '8px 0' },
    '.cm-cursor, .cm-dropCursor': { borderLeftColor: 'var(--text)', borderLeftWidth: '2px' },
    '.cm-gutters': { backgroundColor: 'var(--field)', color: 'var(--dim)', border: 'none' },
    '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'var(--hover)' },
    '.cm-selectionBackground, &.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground': {
      backgroundColor: 'var(--selection) !important',
    },
    '.cm-matchingBracket, &.cm-focused .cm-matchingBracket': { backgroundColor: 'var(--selection)', outline: 'none' },
    '.cm-jumped': { backgroundColor: 'var(--mark)' },
    '.cm-tooltip': {
      backgroundColor: 'var(--card)',
      color: 'var(--text)',
      border: '1px solid var(--line)',
      borderRadius: '6px',
      boxShadow: '0 4px 16px rgb(0 0 0 / .18)',
    },
    '.cm-tooltip.cm-tooltip-autocomplete > ul': { fontFamily: 'var(--mono)', fontSize: '12.5px' },
    '.cm-tooltip-autocomplete ul li[aria-selected]': { backgroundColor: 'var(--accent)', color: 'var(--on-accent)' },
    '.cm-completionDetail': { opacity: '.8', marginLeft: '1em', fontStyle: 'normal' },
    '.cm-completionInfo': { padding: '8px 10px', maxWidth: '320px', fontFamily: 'var(--sans)', lineHeight: '1.4' },
    '.cm-diagnostic': { padding: '6px 10px', fontFamily: 'var(--sans)', borderLeftWidth: '3px' },
    '.cm-panels': { backgroundColor: 'var(--card)', color: 'var(--text)', borderColor: 'var(--line)' },
    '.cm-textfield, .cm-button': {
      backgroundColor: 'var(--field)',
      backgroundImage: 'none',
      color: 'var(--text)',
      border: '1px solid var(--line-strong)',
      borderRadius: '4px',
    },
    '.cm-changedLine, .cm-insertedLine': { backgroundColor: 'var(--gain) !important' },
    '.cm-deletedChunk': { backgroundColor: 'var(--loss) !important' },
    '.cm-changedText': { background: 'var(--gain-strong) !important' },
    // Its own marks are images of data:, which the page's policy does not permit.
    '.cm-lintRange-error, .cm-lintRange-warning': {
      backgroundImage: 'none',
      textDecoration: 'underline wavy var(--bad)',
      textUnderlineOffset: '3px',
    },
    '.cm-lint-marker-error, .cm-lint-marker-warning': {
      content: '""',
      width: '8px',
      height: '8px',
      margin: '6px 3px',
      borderRadius: '50%',
      backgroundColor: 'var(--bad)',
    },
    '.cm-deletedText, &.cm-merge-a .cm-changedText': { background: 'var(--loss-strong) !important' },
    '&.cm-merge-a .cm-changedLine': { backgroundColor: 'var(--loss) !important' },
    // Its own sign is in few fonts.
    '.cm-collapsedLines': {
      background: 'var(--hover)',
      color: 'var(--dim)',
      '&:before, &:after': { content: '"⋯"' },
    },
  }),
  syntaxHighlighting(
    HighlightStyle.define([
      { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: 'var(--code-key)' },
      { tag: [tags.string, tags.special(tags.string)], color: 'var(--code-string)' },
      { tag: [tags.number, tags.bool, tags.null], color: 'var(--code-number)' },
      { tag: tags.comment, color: 'var(--dim)', fontStyle: 'italic' },
      { tag: [tags.punctuation, tags.separator, tags.squareBracket, tags.brace], color: 'var(--dim)' },
    ]),
  ),
]
