package measure

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/kernel/guard"
)

// Path is something that is measured.
type Path string

// The paths.
const (
	// Load loads and attaches the guard, of the strongest kind that works; in milliseconds,
	// as the others are in microseconds.
	Load Path = "load"
	// Bind binds a thread that was never bound.
	Bind Path = "bind"
	// Publish gives a cell a policy that is built.
	Publish Path = "publish"
	// Open opens a file and closes it, judged by LSM programs.
	Open Path = "open"
	// OpenNotify is the same, where a supervisor in this process opens the file.
	OpenNotify Path = "open.notify"
	// Connect connects a TCP socket to a loopback address and closes it.
	Connect Path = "connect"
)

// ErrMissing: this kernel has not the layer, or not for this user.
var ErrMissing = errors.New("measure: the layer is not there")

// Figures are samples of one path.
type Figures struct {
	Samples []float64 `json:"samples"`
	// Free are those of a thread that nobody judges, taken by turns with Samples; nil
	// where there is nothing to compare.
	Free []float64 `json:"free,omitempty"`
	// By says which layer it was.
	By string `json:"by"`
}

var paths = map[Path]func(n int, group string) (Figures, error){
	Load: load, Bind: bind, Publish: publish, Open: open, OpenNotify: openNotify, Connect: connect,
}

// Take takes n samples, one at least. Group is the control group of version 2 that this
// process is in, "" where there is none.
func Take(p Path, n int, group string) (Figures, error) {
	f := paths[p]
	switch {
	case f == nil:
		return Figures{}, fmt.Errorf("measure: path %q is not known", p)
	case n < 1:
		return Figures{}, fmt.Errorf("measure: %d samples of %s", n, p)
	}
	return f(n, group)
}

// loaded is a guard that is there for one measurement.
func loaded(kind guard.Kind, group string) (*guard.Guard, error) {
	g, err := guard.Load(guard.Options{Kind: kind, Cgroup: group})
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrMissing, brief(err))
	}
	return g, nil
}

// brief leaves out the verifier's log.
func brief(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

func load(n int, group string) (Figures, error) {
	var f Figures
	for range n {
		begun := time.Now()
		g, err := loaded(guard.Auto, group)
		took := time.Since(begun)
		if err != nil {
			return Figures{}, err
		}
		f.Samples = append(f.Samples, float64(took)/float64(time.Millisecond))
		f.By = fmt.Sprintf("%d programs of kind %s", g.Programs(), g.Kind())
		if err := g.Close(); err != nil {
			return Figures{}, err
		}
	}
	return f, nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
