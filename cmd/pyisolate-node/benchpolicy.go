package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/document"
	"github.com/pyisolate/pyisolate/policystore/live"
)

// policyRules is how many rules the document of policy.compile has.
const policyRules = 1000

// manyRules is that document.
func manyRules() string {
	var text strings.Builder
	text.WriteString("version: 1.0\nsandboxes:\n  etl:\n    fs:\n")
	for i := range policyRules / 2 {
		fmt.Fprintf(&text, "      - read: /srv/data/%d/part-%d\n", i%50, i)
	}
	text.WriteString("    net:\n")
	for i := range policyRules / 2 {
		fmt.Fprintf(&text, "      - connect: \"10.%d.%d.0/24:443\"\n", i/250, i%250)
	}
	return text.String()
}

// compileDocument times parsing and compiling a document.
func compileDocument(_ context.Context, _ *bench, n int, _ *benchResult) ([]float64, error) {
	text := []byte(manyRules())
	return timeMillis(n, func(int) error {
		d, err := document.Parse("bench.yml", text)
		if err == nil {
			_, err = d.Compile("", document.Options{})
		}
		return err
	})
}

// timeMillis is the milliseconds of each of n times that something is done.
func timeMillis(n int, do func(i int) error) (samples []float64, err error) {
	for i := range n {
		begun := time.Now()
		if err := do(i); err != nil {
			return nil, err
		}
		samples = append(samples, micros(time.Since(begun))/1000)
	}
	return samples, nil
}

// policyBench is a store in a directory of its own.
type policyBench struct {
	*policystore.Store
	root string
}

func newPolicyBench(ctx context.Context) (*policyBench, error) {
	root, err := os.MkdirTemp("", "pyisolate-bench-")
	if err != nil {
		return nil, err
	}
	s, err := policystore.Open(ctx, policystore.Config{Dir: filepath.Join(root, "store")})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(root))
	}
	return &policyBench{s, root}, nil
}

func (p *policyBench) close() error { return errors.Join(p.Close(), os.RemoveAll(p.root)) }

var benchEditor = policystore.Principal{Name: "bench", Role: policystore.PolicyAdmin}

// put stores the i-th of two policies: each permits what the other does not.
func (p *policyBench) put(ctx context.Context, i int) (policystore.Version, error) {
	return p.Put(ctx, benchEditor, policystore.PutRequest{Name: "bench", Text: []byte(versionText(p.root, i))})
}

func versionText(root string, i int) string {
	return fmt.Sprintf("version: 1.0\nsandboxes:\n  a:\n    imports: [json]\n    fs: [ { read: %q } ]\n", filepath.Join(root, fmt.Sprint("d", i%2)))
}

// commitPolicy times a put, which ends when it is on the disk.
func commitPolicy(ctx context.Context, _ *bench, n int, _ *benchResult) (samples []float64, err error) {
	p, err := newPolicyBench(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	return timeMillis(n, func(i int) error {
		_, err := p.put(ctx, i)
		return err
	})
}

// liveCells run under one policy.
const liveCells = 200

// liveReload times from when a version is committed until every cell goes by it.
func liveReload(ctx context.Context, b *bench, n int, r *benchResult) (samples []float64, err error) {
	p, err := newPolicyBench(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	for i := range 2 {
		if err := os.Mkdir(filepath.Join(p.root, fmt.Sprint("d", i)), 0o700); err != nil {
			return nil, err
		}
	}
	first, err := p.put(ctx, 0)
	if err != nil {
		return nil, err
	}
	served := make(chan live.Report, liveCells)
	reloader := live.New(p, live.Options{Reported: func(r live.Report) { served <- r }})
	defer reloader.Close()
	l, err := b.launcher(ctx, noPool)
	if err != nil {
		return nil, err
	}
	defer closeLauncher(l)
	if err := p.populate(ctx, l, reloader, first); err != nil {
		return nil, err
	}
	for range liveCells {
		<-served
	}
	commits, err := p.Watch(ctx, "", first.Index)
	if err != nil {
		return nil, err
	}
	for i := range n {
		took, report, err := p.reload(ctx, i+1, commits, served)
		if err != nil {
			return nil, err
		}
		samples = append(samples, micros(took)/1000)
		if i == 0 {
			r.addNote(fmt.Sprintf("%d cells, %s", liveCells, liveIn(cell.Reloaded{Layers: report.Layers})))
		}
	}
	return samples, nil
}

// spawner is what populate needs of a launcher.
type spawner interface {
	Spawn(ctx context.Context, s cell.Spec) (cell.Cell, error)
}

// populate starts the cells, which follow the policy.
func (p *policyBench) populate(ctx context.Context, l spawner, r *live.Reloader, v policystore.Version) error {
	d, err := document.Parse("bench.yml", v.Text)
	if err != nil {
		return err
	}
	compiled, err := d.Compile("", document.Options{})
	if err != nil {
		return err
	}
	for i := range liveCells {
		spec := cell.Spec{Tenant: "bench", Backend: cell.SubInterpreter}
		if err := compiled.Apply(&spec); err != nil {
			return err
		}
		c, err := l.Spawn(ctx, spec)
		if err == nil {
			_, err = r.Follow(ctx, "bench", "", live.Cell{Cell: c})
		}
		if err != nil {
			return fmt.Errorf("cell %d of %d: %w", i+1, liveCells, err)
		}
	}
	return nil
}

// reload puts a version, and returns how long after its commit the last cell had it.
func (p *policyBench) reload(ctx context.Context, i int, commits *policystore.Watch, served <-chan live.Report) (took time.Duration, last live.Report, err error) {
	committed := make(chan time.Time, 1)
	go func() {
		if _, err := commits.Next(ctx); err == nil {
			committed <- time.Now()
		}
		close(committed)
	}()
	v, err := p.put(ctx, i)
	if err != nil {
		return 0, last, err
	}
	for range liveCells {
		if last = <-served; last.Version != v.Number || last.Failed != "" {
			return 0, last, fmt.Errorf("a cell has version %d of %d: %s", last.Version, v.Number, last.Failed)
		}
	}
	end := time.Now()
	begun, ok := <-committed
	if !ok {
		return 0, last, errors.New("the commit was not seen")
	}
	return end.Sub(begun), last, nil
}
