package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// event is a line of `go test -json`; see `go doc test2json`.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build output
	Test        string
	Output      string
	Elapsed     float64
	FailedBuild string
}

// testID names one test, or with an empty test its whole package.
type testID struct{ pkg, test string }

// summary collects the results of the runs read so far.
type summary struct {
	out    io.Writer
	output map[testID][]string // of tests that have not ended
	build  map[string][]string // compiler messages by import path

	passed, failed int
	skipped        []skip
	failures       []failure
	failedInPkg    map[string]int
}

type skip struct{ id, reason string }

// failure is a failed test and what it said of that itself, without the logs of what it tests.
type failure struct {
	id   string
	said []string
}

func newSummary(out io.Writer) *summary {
	return &summary{
		out:         out,
		output:      map[testID][]string{},
		build:       map[string][]string{},
		failedInPkg: map[string]int{},
	}
}

// read consumes the events until the end of the input. Lines that are no events
// are passed on: a tool that cannot start prints them.
func (s *summary) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) == nil && e.Action != "" {
				s.add(e)
			} else {
				fmt.Fprint(s.out, line)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read test events: %w", err)
		}
	}
}

func (s *summary) add(e event) {
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "output":
		s.output[id] = append(s.output[id], e.Output)
	case "build-output":
		s.build[e.ImportPath] = append(s.build[e.ImportPath], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.endPackage(e)
		} else {
			s.endTest(e, id)
		}
		delete(s.output, id)
	}
}

func (s *summary) endTest(e event, id testID) {
	switch e.Action {
	case "pass":
		s.passed++
	case "skip":
		s.skipped = append(s.skipped, skip{id: e.Package + " " + e.Test, reason: reason(s.output[id])})
	case "fail":
		s.failed++
		s.failedInPkg[e.Package]++
		s.print(s.output[id])
		s.failures = append(s.failures, failure{e.Package + " " + e.Test, said(s.output[id])})
	}
}

// endPackage prints the package's line. A package that failed without a failed
// test did not compile, crashed or ran out of time: that counts as a failure.
func (s *summary) endPackage(e event) {
	id := testID{pkg: e.Package}
	switch e.Action {
	case "pass":
		fmt.Fprintf(s.out, "ok    %s  %.1fs\n", e.Package, e.Elapsed)
	case "skip":
		fmt.Fprintf(s.out, "-     %s  (no tests)\n", e.Package)
	case "fail":
		if s.failedInPkg[e.Package] == 0 {
			s.failed++
			s.print(s.build[e.FailedBuild])
			s.printUnfinished(e.Package)
		}
		s.print(s.output[id])
		fmt.Fprintf(s.out, "FAIL  %s  %.1fs\n", e.Package, e.Elapsed)
		delete(s.failedInPkg, e.Package)
	}
}

// printUnfinished prints what tests had written when their process died.
func (s *summary) printUnfinished(pkg string) {
	for id, lines := range s.output {
		if id.pkg == pkg && id.test != "" {
			s.print(lines)
			delete(s.output, id)
		}
	}
}

func (s *summary) print(lines []string) {
	for _, l := range lines {
		fmt.Fprint(s.out, l)
	}
}

// logLine matches what t.Skip writes: file, line, message.
var logLine = regexp.MustCompile(`^\s+\S+\.go:\d+: (.*)`)

// ownLine matches what a test itself logs, which is in its own file.
var ownLine = regexp.MustCompile(`^\s+\S+_test\.go:\d+: `)

// reason finds the message of a skipped test: the last one it logged.
func reason(output []string) string {
	for _, line := range slices.Backward(output) {
		if m := logLine.FindStringSubmatch(line); m != nil {
			return strings.TrimSpace(m[1])
		}
	}
	return "no reason given"
}

// said is what a test logged with t.Error and its like, the first lines of it.
func said(output []string) (lines []string) {
	const most = 10
	for _, line := range output {
		if len(lines) < most && ownLine.MatchString(line) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// finish prints the totals and tells whether all is well.
func (s *summary) finish() bool {
	if len(s.skipped) > 0 {
		fmt.Fprintln(s.out, "\nskipped:")
		for _, k := range s.skipped {
			fmt.Fprintf(s.out, "  %s: %s\n", k.id, k.reason)
		}
	}
	if s.passed+s.failed == 0 {
		fmt.Fprintln(s.out, "\nno test ran")
	}
	s.printFailures()
	fmt.Fprintf(s.out, "\n%d passed, %d failed, %d skipped\n", s.passed, s.failed, len(s.skipped))
	return s.failed == 0 && s.passed > 0
}

// printFailures says once more what failed, where whoever reads the end of a long log sees it.
func (s *summary) printFailures() {
	if len(s.failures) > 0 {
		fmt.Fprintln(s.out, "\nfailed:")
	}
	for _, f := range s.failures {
		fmt.Fprintf(s.out, "  %s\n", f.id)
		for _, line := range f.said {
			fmt.Fprintf(s.out, "    %s\n", line)
		}
	}
}
