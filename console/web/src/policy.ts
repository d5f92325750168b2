import type { Version } from './api/types.ts'
import { textFromBase64 } from './format.ts'

// documentOf a version, with the line breaks that the editor has: else looking at a text would change it.
export const documentOf = (v: Version): string => textFromBase64(v.text).replace(/\r\n?/g, '\n')
