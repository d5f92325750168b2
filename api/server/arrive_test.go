package server_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/broker/capability/send"
)

// received is the first post of cell a that is given out within a while; "": none.
func (n *target) received(t *testing.T, within time.Duration) string {
	t.Helper()
	answer, err := n.Cells.Recv(t.Context(), connect.NewRequest(&pb.RecvRequest{Name: "a", Wait: durationpb.New(within)}))
	if err != nil || len(answer.Msg.GetItems()) == 0 {
		return ""
	}
	return answer.Msg.GetItems()[0].GetPost().GetJson()
}

// What was taken from a cell and not received is given out here when the cell goes on here, and not before: where
// it cannot, its source has it still, and would give it out again.
func TestKeptIsGivenOutWhereTheCellGoesOn(t *testing.T) {
	for name, fails := range map[string]error{"here": nil, "at its source": errors.New("its state is none")} {
		t.Run(name, func(t *testing.T) {
			n, from, s, out := halfway(t)
			putIn, goOn := make(chan struct{}), make(chan struct{})
			n.last.Load().end = func() error {
				close(putIn)
				<-goOn
				return fails
			}
			s.send(out, len(s.file)/2, len(s.file))
			_, err := out.CloseAndReceive()
			must(t, err)
			activated := make(chan error, 1)
			go func() {
				activated <- s.activate(t, n, from, &pb.Item{Item: &pb.Item_Post{Post: &pb.Value{Kind: &pb.Value_Json{Json: "7"}}}})
			}()
			<-putIn
			if early := n.received(t, 300*time.Millisecond); early != "" {
				t.Errorf("%s is given out, and the cell does not go on yet", early)
			}
			close(goOn)
			if err := <-activated; (err == nil) != (fails == nil) {
				t.Fatalf("it is activated: %v", err)
			}
			within := 20 * time.Second
			if fails != nil { // there is nothing to wait for
				within = 300 * time.Millisecond
			}
			if got := n.received(t, within); (got == "7") != (fails == nil) {
				t.Errorf("then %q is given out", got)
			}
		})
	}
}

// What is given back by the node that a cell came by is given out once, before what is newer; by others, or of another
// cell, or of one that is not here, it is refused.
func TestGivenBackIsGivenOutHere(t *testing.T) {
	n, from, s, out := halfway(t)
	s.send(out, len(s.file)/2, len(s.file))
	_, err := out.CloseAndReceive()
	must(t, err)
	post := func(text string) *pb.Item {
		return &pb.Item{Item: &pb.Item_Post{Post: &pb.Value{Kind: &pb.Value_Json{Json: text}}}}
	}
	give := func(by api.TransferServiceClient, name, id, batch string, texts ...string) connect.Code {
		r := &pb.GiveBackRequest{Cell: &pb.CellRef{Tenant: "default", Name: name}, Id: id, Batch: batch}
		for _, text := range texts {
			r.Items = append(r.Items, post(text))
		}
		_, err := by.GiveBack(t.Context(), connect.NewRequest(r))
		if err == nil {
			return 0
		}
		return connect.CodeOf(err)
	}
	if got := give(from, "a", "life", "early", "0"); got != connect.CodeNotFound {
		t.Errorf("before it is here: %v", got)
	}
	must(t, s.activate(t, n, from, post("3")))
	for what, c := range map[string]struct{ got, want connect.Code }{
		"what it knows": {give(from, "a", "life", "x", "1", "2"), 0},
		"again":         {give(from, "a", "life", "x", "1", "2"), 0},
		"by another":    {give(n.peer("n3"), "a", "life", "y", "9"), connect.CodePermissionDenied},
		"of another":    {give(from, "a", "death", "z", "9"), connect.CodeNotFound},
		"of none":       {give(from, "b", "life", "z", "9"), connect.CodeNotFound},
		"of no name":    {give(from, "a", "life", "", "9"), connect.CodeInvalidArgument},
		"too many":      {give(from, "a", "life", "w", make([]string, 4097)...), connect.CodeInvalidArgument},
		"no value":      {give(from, "a", "life", "w", "{"), connect.CodeInvalidArgument},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v", what, c.got)
		}
	}
	var got []string
	for text := n.received(t, time.Second); text != ""; text = n.received(t, 100*time.Millisecond) {
		got = append(got, text)
	}
	if !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("given out are %v", got)
	}
}

// A cell hears here what it was given; what it subscribed to itself it hears as far as its grants here say so.
func TestArrivesWithWhatItMayHear(t *testing.T) {
	n, from, s, out := halfway(t)
	must(t, n.broker.Register("hear", send.New(n.server.Actors().Sender())))
	s.send(out, len(s.file)/2, len(s.file))
	_, err := out.CloseAndReceive()
	must(t, err)
	s.carried.Topics = []string{"given", "payroll"}
	must(t, s.activate(t, n, from))
	if got := n.report(t, "a").GetTopics(); !slices.Equal(got, []string{"given"}) {
		t.Errorf("it hears %v", got)
	}
}
