// Command testsummary reads `go test -json` from standard input and prints what a
// person wants to know of it: a line for each package, the output of what failed,
// each skipped test with its reason, each failed one with its own words, and in the last line
//
//	N passed, N failed, N skipped
//
// It exits with 1 when anything failed or when no test ran at all. Several runs
// may follow one another on the input.
package main

import (
	"fmt"
	"os"
)

func main() {
	s := newSummary(os.Stdout)
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testsummary:", err)
		os.Exit(1)
	}
	if !s.finish() {
		os.Exit(1)
	}
}
