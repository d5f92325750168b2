package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pyisolate/pyisolate/kernel/enforce"
	"github.com/pyisolate/pyisolate/kernel/probe"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// What a node has around cells. The names are part of doctor's JSON.
const (
	nodePrograms probe.Feature = "node.programs"
	nodeJudges   probe.Feature = "node.judges"
	nodeWatch    probe.Feature = "node.watch"
)

// nodeRows takes what a node takes of this kernel, as this user, and gives it back.
func nodeRows(ctx context.Context) []probe.Row {
	kernel, err := enforce.Open(ctx, true)
	if err != nil {
		return []probe.Row{programsRow(stack.Guard{}, err)}
	}
	facts := kernel.Facts()
	rows := []probe.Row{programsRow(facts, kernel.Refused())}
	if facts.Layer != "" {
		rows = append(rows, judgesRow(facts))
	}
	if !facts.Files {
		rows = append(rows, watchRow(kernel.Watches()))
	}
	if err := kernel.Close(); err != nil {
		rows[0].Works, rows[0].Answer = false, fmt.Sprintf("they could not be taken away again: %s", oneLine(err.Error()))
	}
	return rows
}

func programsRow(facts stack.Guard, refused error) probe.Row {
	r := probe.Row{Feature: nodePrograms, Works: facts.Layer != "", Tried: "load and attach a node's programs", Answer: facts.Evidence}
	if !r.Works && refused != nil {
		r.Answer = oneLine(refused.Error())
	}
	return r
}

// judgesRow says which parts of a policy the programs hold, and which not.
func judgesRow(facts stack.Guard) probe.Row {
	var held, not []string
	for _, part := range []struct {
		name string
		held bool
	}{
		{"files", facts.Files}, {"changes of directories", facts.Changes}, {"network", facts.Network}, {"total opens", facts.Opens},
		{"total connects", facts.Connects}, {"total bytes", facts.Bytes}, {"total processor", facts.CPU},
	} {
		if part.held {
			held = append(held, part.name)
		} else {
			not = append(not, part.name)
		}
	}
	for _, hook := range slices.Sorted(slices.Values(facts.Contracts)) {
		held = append(held, "contracts at "+hook.String())
	}
	r := probe.Row{Feature: nodeJudges, Works: len(held) > 0, Tried: "ask which parts of a policy they hold", Answer: strings.Join(held, ", ")}
	if len(not) > 0 {
		r.Answer += "; not " + strings.Join(not, ", ")
	}
	return r
}

// watchRow is about files, where programs do not judge them.
func watchRow(watches string) probe.Row {
	r := probe.Row{Feature: nodeWatch, Works: watches != "", Tried: "make ready to open files for cells", Answer: watches}
	if !r.Works {
		r.Answer = "it takes notifications that open files (Linux 5.9) and the right to trace, CAP_SYS_PTRACE"
	}
	return r
}
