package conformance

import (
	"context"

	"github.com/pyisolate/pyisolate/cell"
)

// Places in what GIL returns.
const (
	GILCells   = 1 // cells of one host compute at once
	GILThreads = 3 // threads of one cell do
)

// gilProbes are the questions about the global interpreter lock.
var gilProbes = []Probe{
	{"a cell has a GIL", cell.SubInterpreter, tryGIL},
	{"cells of one host compute at once", cell.SubInterpreter, tryParallelCells},
	{"cells in processes compute at once", cell.Process, tryParallelCells},
	{"threads of one cell compute at once", cell.SubInterpreter, tryParallelThreads},
}

// GIL tells how cells of this Python share processors. It tells before each probe.
func (r *Runner) GIL(ctx context.Context, before func(name string)) ([]Result, error) {
	var list []Result
	for _, p := range gilProbes {
		before(p.Name)
		list = append(list, r.Run(ctx, p))
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func tryGIL(ctx context.Context, s *scene) (string, error) {
	c, err := s.exec(ctx, cell.Spec{Imports: []string{"sys"}}, "import sys\npost(sys._is_gil_enabled())")
	if err != nil {
		return "", err
	}
	return "sys._is_gil_enabled() is True", expect(ctx, c, "true")
}
