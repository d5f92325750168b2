package cell

import "slices"

// computing are modules of the standard library that compute and format, and reach nothing
// outside the cell.
var computing = []string{"array", "base64", "binascii", "bisect", "calendar", "cmath", "collections", "colorsys", "contextlib",
	"copy", "csv", "dataclasses", "datetime", "decimal", "difflib", "enum", "fractions", "functools", "graphlib", "hashlib",
	"heapq", "html", "io", "itertools", "json", "math", "numbers", "operator", "pprint", "random", "re", "reprlib", "secrets",
	"statistics", "string", "struct", "sys", "textwrap", "time", "types", "typing", "unicodedata", "uuid", "zlib"}

// ComputingImports are what a guest may import of whom nobody says what it may: modules that
// compute and format, and reach nothing outside the cell. The caller may change the list.
func ComputingImports() []string { return slices.Clone(computing) }
