package server_test

import (
	"errors"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
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
			if got := n.received(t, 10*time.Second); (got == "7") != (fails == nil) {
				t.Errorf("then %q is given out", got)
			}
		})
	}
}
