// Package conformance tries on this machine what cells promise, with cells that really
// run. `pyisolate-node conformance` and `doctor gil` and `doctor extensions` call it.
//
// A [Probe] does one thing to one cell, or to two, and says what came of it: [Pass] or
// [Fail], or [Unavailable] where this machine has not what it takes. Nothing is concluded
// from a version or a list. [Runner.Grade] scores ten guarantees by [Check]s of the same
// kind; what is not built yet is tried, too, and refused, and scores nothing.
//
// What the kernel holds cells to is tried by canaries: two files, or two servers, of which a
// policy gives a cell one while its gate lets it try both. A cell that gets the other, or not
// its own, has shown that nobody judges, whatever its report says.
//
// Each probe has a launcher of its own, which is closed before the probe returns, so that
// one that kills its host is of no consequence to the next. Some restrict a thread, which
// ends with them. What they make in the file system and in control groups is removed.
//
// Goroutines: those of launchers, and one for each guest that has to be ended from
// outside. All end before a probe returns.
package conformance
