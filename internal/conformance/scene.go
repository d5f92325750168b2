package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// scene is what a trial works in.
type scene struct {
	launcher *launch.Launcher
	config   launch.Config // of the launcher
	backend  cell.Backend
}

// The tenants of trials with two.
const (
	victim    = "victim"
	bystander = "bystander"
)

func (s *scene) spawn(ctx context.Context, spec cell.Spec) (cell.Cell, error) {
	spec.Backend = s.backend
	return s.launcher.Spawn(ctx, spec)
}

// exec runs text in a fresh cell, which stays until the launcher is closed.
func (s *scene) exec(ctx context.Context, spec cell.Spec, text string) (cell.Cell, error) {
	c, err := s.spawn(ctx, spec)
	if err != nil {
		return nil, err
	}
	return c, c.Exec(ctx, source(text))
}

func source(text string) cell.Source { return cell.Source{Code: []byte(text), File: "<conformance>"} }

// expect takes the next item and compares its JSON.
func expect(ctx context.Context, c cell.Cell, want string) error {
	item, err := c.Recv(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("receive from the guest: %w", err)
	case item.Err != nil:
		return item.Err
	case string(item.Value.Data) != want:
		return fmt.Errorf("the guest posted %s, not %s", item.Value, want)
	}
	return nil
}

// refusal turns the answer into evidence if it is of the kind, else into an error.
func refusal(err error, kind cell.Kind) (string, error) {
	switch cell.KindOf(err) {
	case kind:
		first, _, _ := strings.Cut(err.Error(), "\n")
		return first, nil
	case cell.KindUnknown:
		if err == nil {
			return "", fmt.Errorf("nothing was refused; %s was expected", kind.String())
		}
	}
	return "", fmt.Errorf("%s was expected: %w", kind.String(), err)
}

// answers fails unless the cell still computes.
func answers(ctx context.Context, c cell.Cell) error {
	v, err := c.Call(ctx, cell.Invocation{Target: "abs", Args: []byte(`[-7]`)})
	if err != nil {
		return fmt.Errorf("the cell does not answer any more: %w", err)
	}
	if v.String() != "7" {
		return fmt.Errorf("the cell says abs(-7) is %s", v)
	}
	return nil
}

// running starts text, which must post null and then go on for ever, in a cell and returns
// once it has posted. The error of its end comes through the channel.
func (s *scene) running(ctx context.Context, spec cell.Spec, text string) (cell.Cell, <-chan error, error) {
	c, err := s.spawn(ctx, spec)
	if err != nil {
		return nil, nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Exec(ctx, source(text)) }()
	if err := expect(ctx, c, "null"); err != nil {
		return nil, nil, err
	}
	return c, ended, nil
}

const (
	loop = "post(None)\nwhile True: pass"
	// stubborn meets every exception that could end it.
	stubborn = "post(None)\nwhile True:\n  try:\n    while True: pass\n  except BaseException: pass"
)

func since(t time.Time) time.Duration { return time.Since(t).Round(time.Millisecond) }

// sink keeps what a guest says.
type sink struct {
	mu      sync.Mutex
	logs    []cell.LogRecord
	samples []cell.Sample
	denials []cell.Denial
}

func (s *sink) Log(r cell.LogRecord) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs = append(s.logs, r)
}

func (s *sink) Metric(m cell.Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.samples = append(s.samples, m)
}

func (s *sink) Denied(d cell.Denial) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denials = append(s.denials, d)
}

// Request refuses: nothing is granted.
func (s *sink) Request(_ context.Context, r cell.Request) (cell.Value, error) {
	return cell.Value{}, cell.Errorf(cell.PolicyDenied, "capability %q is not granted to this cell", r.Capability)
}

// evidence is the last denial, as evidence that it was recorded.
func (s *sink) evidence() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.denials) == 0 {
		return "", errors.New("there is no evidence of the refusal")
	}
	d := s.denials[len(s.denials)-1]
	return fmt.Sprintf("evidence: %s %s of cell %s", d.Capability, d.Action, d.Cell), nil
}
