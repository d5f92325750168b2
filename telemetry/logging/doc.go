// Package logging makes the loggers of a node: lines of text or JSON in which nobody can forge a
// line, and nothing secret is.
//
//   - Records have the cell, the tenant and the trace of their context ([With], package trace).
//   - Whatever is logged under a name like "token" or "password", and whatever has the shape of a
//     token, a key or the user of a URL, becomes "[redacted]": see [Redact]. This is a net below
//     code that does not log secrets, not a permission to.
//   - Control characters, escape sequences, line ends and what turns text around are written as
//     escapes, in messages, names and values, whoever they came from; the name of a slog.Group is
//     a word of the code.
//
// Handlers may be used by many goroutines; each record is one Write.
package logging
