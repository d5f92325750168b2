package conformance

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// Runner runs probes. Its methods are for one goroutine at a time: probes measure.
type Runner struct {
	// Config of the launchers; its Python must be set. PoolSize is the probes' own.
	Config launch.Config
}

// patience bounds one probe. On an idle machine none takes more than some seconds.
const patience = time.Minute

// trial does what a probe is about and returns its evidence. An unavailableError says
// that it cannot be done here; any other error is what went wrong.
type trial func(ctx context.Context, s *scene) (evidence string, err error)

// A Probe is one thing to try.
type Probe struct {
	Name string
	// Backend is that of its cells, "" where it has none.
	Backend cell.Backend
	trial   trial
}

// cellProbes are tried with each backend, in this order.
var cellProbes = []struct {
	name  string
	trial trial
}{
	{"spawn", trySpawn}, {"call", tryCall}, {"post", tryPost}, {"recv", tryRecv}, {"log", tryLog},
	{"metric", tryMetric}, {"request-denied", tryRequest}, {"import-denied", tryImport},
	{"cpu-limit", tryCPU}, {"wall-limit-in-c", tryWall}, {"memory-limit", tryMemory},
	{"output-limit", tryOutput}, {"kill", tryKill}, {"quarantine", tryQuarantine},
	{"crash", tryCrash}, {"layers", tryLayers}, {"reload", tryReload}, {"reload-network", tryReloadNetwork},
	{"quota-connects", tryConnects}, {"quota-bytes", tryBytes}, {"quota-cpu-total", tryLifeCPU}, {"contract", tryContract},
}

// Backends are those that are probed by default.
var Backends = []cell.Backend{cell.SubInterpreter, cell.Process}

// Probes lists the probes of these backends.
func Probes(backends ...cell.Backend) []Probe {
	var list []Probe
	for _, b := range backends {
		for _, p := range cellProbes {
			list = append(list, Probe{Name: p.name, Backend: b, trial: p.trial})
		}
	}
	return list
}

// Run runs one probe.
func (r *Runner) Run(ctx context.Context, p Probe) Result {
	begin := time.Now()
	evidence, err := r.try(ctx, p.Backend, p.trial)
	result := Result{Probe: p.Name, Backend: p.Backend, Outcome: Pass, Evidence: evidence, Took: time.Since(begin)}
	var missing unavailableError
	switch {
	case errors.As(err, &missing):
		result.Outcome, result.Evidence = Unavailable, missing.why
	case err != nil:
		result.Outcome, result.Evidence = Fail, err.Error()
	}
	return result
}

// try bounds the trial.
func (r *Runner) try(ctx context.Context, b cell.Backend, t trial) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	config := r.Config
	config.PoolSize = -1 // no cell but those of the probe
	return onStage(ctx, config, b, t)
}

// onStage runs the trial with a launcher of its own.
func onStage(ctx context.Context, config launch.Config, b cell.Backend, t trial) (string, error) {
	l, err := launch.New(config)
	if err != nil {
		return "", err
	}
	evidence, err := t(ctx, &scene{launcher: l, config: config, backend: b})
	ending, done := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer done()
	return strings.TrimSpace(evidence), errors.Join(err, l.Close(ending))
}
