package node

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
)

// instant starts cells in which everything has been done already.
type instant struct{}

type instantCell struct{ cell.Cell }

func (instant) Spawn(context.Context, cell.Spec) (cell.Cell, error) { return instantCell{}, nil }

func (instantCell) Exec(context.Context, cell.Source) error { return nil }

// What it costs that operations are counted.
func BenchmarkCountedExec(b *testing.B) {
	s := newSpawner(newCapacity(0, 0))
	s.begin(instant{})
	c, err := s.Spawn(b.Context(), cell.Spec{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			_ = c.Exec(context.Background(), cell.Source{})
		}
	})
}

func BenchmarkSpawner(b *testing.B) {
	s := newSpawner(newCapacity(0, 0))
	s.begin(instant{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Spawn(b.Context(), cell.Spec{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadiness(b *testing.B) {
	n := &Node{}
	n.state.Store(Ready)
	n.reduced.Store(&[]string{"one", "two"})
	r := httptest.NewRequest("GET", "/readyz", nil)
	b.ReportAllocs()
	for b.Loop() {
		n.serveReadiness(httptest.NewRecorder(), r)
	}
}
