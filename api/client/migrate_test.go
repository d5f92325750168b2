package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/client"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
)

// mover answers Migrate with phases, and then an error if there is one.
type mover struct {
	api.UnimplementedCellServiceHandler
	phases []string
	err    error
}

func (m *mover) Migrate(_ context.Context, _ *connect.Request[pb.MigrateRequest], s *connect.ServerStream[pb.MigrateResponse]) error {
	for _, phase := range m.phases {
		if err := s.Send(&pb.MigrateResponse{Phase: phase, Node: "n2", Epoch: 4}); err != nil {
			return err
		}
	}
	return m.err
}

// at serves a mover, and returns a client of it.
func (m *mover) at(t *testing.T) *client.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	mux := http.NewServeMux()
	mux.Handle(api.NewCellServiceHandler(m))
	s := &http.Server{Handler: mux, Protocols: protocols}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	c, err := client.New(client.Config{Socket: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); _ = s.Close(); <-done })
	return c
}

// A move is done when the node has said so, and at no other end of the stream.
func TestMigrate(t *testing.T) {
	lock := connect.NewError(connect.CodeFailedPrecondition, errors.New("it holds a lock"))
	for _, c := range []struct {
		name string
		mover
		is   error
		says string // "": it was moved
	}{
		{name: "done", mover: mover{phases: []string{"prepare", "copy", "done"}}},
		{name: "aborted", mover: mover{phases: []string{"prepare", "abort"}}, says: "goes on at n2"},
		{name: "broken off", mover: mover{phases: []string{"prepare", "activate"}}, is: io.ErrUnexpectedEOF, says: "nothing of the end"},
		{name: "nothing", is: io.ErrUnexpectedEOF, says: "nothing of the end"},
		{name: "refused", mover: mover{err: lock}, says: "it holds a lock"},
		{name: "failed after it was done", mover: mover{phases: []string{"done"}, err: lock}, says: "it holds a lock"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var seen []string
			last, err := c.at(t).Migrate(t.Context(), &pb.MigrateRequest{Name: "c", Node: "n2"}, func(m *pb.MigrateResponse) { seen = append(seen, m.GetPhase()) })
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %v, want %q", err, c.says)
			}
			if !slices.Equal(seen, c.phases) {
				t.Errorf("saw %v, not %v", seen, c.phases)
			}
			if err == nil && (last.GetNode() != "n2" || last.GetEpoch() != 4) {
				t.Errorf("it ended with %v", last)
			}
		})
	}
}
