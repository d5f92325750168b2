package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/pyisolate/pyisolate/actors"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
)

// gone is the fabric of n1, which cell t/c has left. It is at the nodes of places one after the other, at the last for
// good; "" is none that is known.
type gone struct {
	Fabric
	transport *http.Transport
	answer    func(try int) error // of whichever node is asked; nil: it has the batch

	mu     sync.Mutex
	places []string
	asked  []string // nodes
	got    []*pb.GiveBackRequest
	active *pb.ActivateRequest // that was asked for, and failed
}

func (f *gone) Self() string { return "n1" }

func (f *gone) Refresh(context.Context) error { return nil }

func (f *gone) Find(a actors.Address) (Place, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	node := f.places[0]
	if len(f.places) > 1 {
		f.places = f.places[1:]
	}
	f.asked = append(f.asked, node)
	return Place{Address: a, Node: node, Epoch: 8, Phase: Active}, node != ""
}

func (f *gone) HTTP(string) http.RoundTripper { return f.transport }

// others are the nodes that it asks.
type others struct {
	api.UnimplementedTransferServiceHandler
	of *gone
}

func (o others) Activate(_ context.Context, r *connect.Request[pb.ActivateRequest]) (*connect.Response[pb.ActivateResponse], error) {
	o.of.mu.Lock()
	defer o.of.mu.Unlock()
	o.of.active = proto.CloneOf(r.Msg)
	return nil, cell.Errorf(cell.Invalid, "its state is none")
}

func (f *gone) AbortMove(_ context.Context, a actors.Address, epoch uint64) (Place, error) {
	return Place{Address: a, Node: "n1", Epoch: epoch + 1, Phase: Active}, nil
}

func (o others) GiveBack(_ context.Context, r *connect.Request[pb.GiveBackRequest]) (*connect.Response[pb.GiveBackResponse], error) {
	f := o.of
	f.mu.Lock()
	f.got = append(f.got, proto.CloneOf(r.Msg))
	try := len(f.got)
	f.mu.Unlock()
	if f.answer != nil {
		if err := f.answer(try); err != nil {
			return nil, err
		}
	}
	return connect.NewResponse(&pb.GiveBackResponse{}), nil
}

// left is what n1 has of cell t/c, and its log.
func left(t *testing.T, f *gone) (s *cells, e *entry, log *bytes.Buffer) {
	t.Helper()
	var both http.Protocols
	both.SetUnencryptedHTTP2(true)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(api.NewTransferServiceHandler(others{of: f}, connect.WithInterceptors(&answers{slog.New(slog.DiscardHandler)})))
	there := &http.Server{Handler: mux, Protocols: &both}
	served := make(chan error, 1)
	go func() { served <- there.Serve(l) }()
	f.transport = &http.Transport{Protocols: &both, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}}
	t.Cleanup(func() {
		f.transport.CloseIdleConnections()
		_ = there.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	log = &bytes.Buffer{}
	s = &cells{logger: slog.New(slog.NewTextHandler(log, nil)), fabric: f, peers: newPeers(f), book: newBook(), node: f.Self}
	s.transfers = newTransfers(t.Context(), s)
	e = newEntry(cellKey{"t", "c"}, terms{}, actors.ID{})
	s.keep(e, []cell.Item{number(2)})
	s.keep(e, []cell.Item{number(1)})
	if len(f.asked) > 0 {
		t.Error("it is sent away from a cell that is here")
	}
	e.leave("n2")
	return s, e, log
}

func posts(r *pb.GiveBackRequest) (all []string) {
	for _, one := range r.GetItems() {
		all = append(all, one.GetPost().GetJson())
	}
	return all
}

// What is given back of a cell that has left goes after it, wherever that is by then, as the one batch that it is.
func TestGivenBackGoesAfterACell(t *testing.T) {
	f := &gone{places: []string{"n2", "n2", "n3"}, answer: func(try int) error {
		switch try {
		case 1:
			panic(http.ErrAbortHandler) // the answer is lost
		case 2:
			return cell.Errorf(cell.Busy, "it is about to leave")
		}
		return nil
	}}
	s, e, log := left(t, f)
	s.keep(e, nil) // as a move does
	s.book.ends.Wait()
	if !slices.Equal(f.asked, []string{"n2", "n2", "n3"}) || log.Len() > 0 {
		t.Errorf("it is sent to %v, and told: %s", f.asked, log)
	}
	for _, r := range f.got {
		if r.GetBatch() != f.got[0].GetBatch() || r.GetId() != e.id || r.GetCell().GetName() != "c" || !slices.Equal(posts(r), []string{"1", "2"}) {
			t.Errorf("sent was %v", r)
		}
	}
	s.keep(e, []cell.Item{number(0)}) // as a receiver does that was slow
	s.book.ends.Wait()
	if last := f.got[len(f.got)-1]; len(f.got) != 4 || !slices.Equal(posts(last), []string{"0"}) || last.GetBatch() == f.got[0].GetBatch() {
		t.Errorf("then sent was %v", last)
	}
}

// What is large goes in several calls, the last items first.
func TestGivenBackInPieces(t *testing.T) {
	f := &gone{places: []string{"n2"}}
	s, e, log := left(t, f)
	large := cell.Item{Value: cell.BytesValue(make([]byte, batchBytes*2/3))}
	s.keep(e, []cell.Item{number(0), large, large})
	s.book.ends.Wait()
	var sizes []int
	for _, r := range f.got {
		sizes = append(sizes, len(r.GetItems()))
	}
	if !slices.Equal(sizes, []int{3, 2}) || len(posts(f.got[1])[0]) != 1 || log.Len() > 0 {
		t.Errorf("sent were %v items, and told: %s", sizes, log)
	}
}

// What no node can have is lost, and the log says how much, and why.
func TestGivenBackInVain(t *testing.T) {
	for name, c := range map[string]struct {
		places []string
		answer error
		ends   bool
		want   string
	}{
		"the cell is no more":       {places: []string{""}, want: "no cell t/c any more"},
		"its node came by it alone": {places: []string{"n2"}, answer: policystore.ErrDenied, want: "denied"},
		"this node ends":            {places: []string{"n2"}, answer: cell.Errorf(cell.Busy, "it is about to leave"), ends: true, want: "about to leave"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &gone{places: c.places, answer: func(int) error { return c.answer }}
			s, e, log := left(t, f)
			if c.ends {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				s.transfers.ending = ctx
			}
			s.keep(e, nil)
			s.book.ends.Wait()
			if text := log.String(); strings.Count(text, "posts=2") != 1 || !strings.Contains(text, c.want) || len(f.asked) != 1 {
				t.Errorf("after %v it is told %s", f.asked, text)
			}
		})
	}
}

// A cell that is back has what was given back of it before, without a way to any node.
func TestGivenBackToACellThatIsBack(t *testing.T) {
	f := &gone{places: []string{"n1"}}
	s, e, log := left(t, f)
	now := newEntry(e.key, terms{}, actors.ID{})
	now.id = e.id
	if err := s.book.keepFor(now); err != nil {
		t.Fatal(err)
	}
	close(now.spawned)
	s.keep(e, nil)
	s.book.ends.Wait()
	if got, _ := now.kept.take(9, nil); len(got) != 2 || len(f.got) > 0 || log.Len() > 0 {
		t.Errorf("it has %v, and it is told: %s", got, log)
	}
}

// With a cell goes by which nodes it came, and what was given back there. Where it stays, more may be given back.
func TestGivenBackAsACellMoves(t *testing.T) {
	f := &gone{places: []string{"n1"}}
	s, _, _ := left(t, f)
	m := aMove(f)
	m.cells, m.epoch, m.entry = s, 7, newEntry(cellKey{"t", "c"}, terms{}, actors.ID{})
	m.entry.before = []string{"n0"}
	m.entry.kept.putBatch("x", []cell.Item{number(1)})
	place := Place{Node: "n1", Epoch: 7, Phase: Active}
	if _, err := m.handOver(t.Context(), &still{}, actors.Moving{Epoch: 7}, place, nil); err != nil {
		t.Fatal(err)
	}
	if r := f.active; !slices.Equal(r.GetBefore(), []string{"n0"}) || !slices.Equal(r.GetGiven(), []string{"x"}) || len(r.GetKept()) != 1 {
		t.Errorf("with it goes %v", r)
	}
	_, again := m.entry.kept.putBatch("x", []cell.Item{number(1)})
	_, left := m.entry.kept.putBatch("y", []cell.Item{number(0)})
	if got, _ := m.entry.kept.take(9, nil); again || left || len(got) != 2 {
		t.Errorf("where it stays there are %v", got)
	}
}

// The nodes that a cell came by are the last ones, each once.
func TestNodesThatACellCameBy(t *testing.T) {
	var by []string
	var err error
	for _, n := range append(slices.Repeat([]string{"a", "b", "c"}, 2), strings.Split("d e f g h i j k l m n o p q", " ")...) {
		if by, err = comeBy(by, n); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(by, ""); got != "bcdefghijklmnopq" {
		t.Errorf("it came by %s", got)
	}
	if _, err := comeBy([]string{"no name"}, "a"); !errors.Is(err, policystore.ErrInvalid) {
		t.Errorf("a bad name: %v", err)
	}
}

// FuzzItems: what is read of another node's items is what this one would send of them.
func FuzzItems(f *testing.F) {
	for _, one := range []cell.Item{number(7), {Err: cell.Errorf(cell.GuestError, "it failed"), ID: "a"}, {Value: cell.BytesValue([]byte{0, 255})}} {
		b, err := proto.Marshal(&pb.GiveBackRequest{Items: itemsTo([]cell.Item{one})})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r pb.GiveBackRequest
		if proto.Unmarshal(b, &r) != nil {
			return
		}
		items, err := itemsOf(r.GetItems())
		if err != nil {
			return
		}
		again, err := itemsOf(itemsTo(items))
		if err != nil || len(again) != len(items) {
			t.Fatalf("of %v: %v", items, err)
		}
		for i, one := range items {
			if size(again[i]) != size(one) || (one.Err == nil) != (again[i].Err == nil) {
				t.Errorf("%v becomes %v", one, again[i])
			}
		}
	})
}
