package server_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/client"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore"
)

// Who takes no answers has so many bytes of them kept. What his cells post is not lost by that, and others are
// answered.
func TestAnswersThatNobodyTakes(t *testing.T) {
	const large = 900 << 10
	n := newNode(t)
	n.server.BoundAnswers(8 << 20) // of one within a tenant 2 MiB
	made, err := n.Policies.CreateToken(t.Context(), connect.NewRequest(&pb.CreateTokenRequest{Name: "o", Role: "operator", Tenant: "a"}))
	must(t, err)
	a, err := client.New(client.Config{Socket: n.socket, Token: made.Msg.GetSecret()})
	must(t, err)
	t.Cleanup(a.Close)
	b, _ := n.as(t, "operator", "b")
	for _, tenant := range []string{"a", "b"} {
		spawned(t, n.Client, &pb.SpawnRequest{Tenant: tenant, Name: "c"})
	}
	text := strings.Repeat("x", large)
	call := func(c *client.Client, tenant, text string) error {
		_, err := c.Cells.Call(t.Context(), connect.NewRequest(&pb.CallRequest{Tenant: tenant, Name: "c", Target: "f", Args: `["` + text + `"]`}))
		return err
	}
	body := `{"tenant":"a","name":"c","target":"f","args":"[\"` + text + `\"]"}`
	var silent []net.Conn
	for range 2 {
		silent = append(silent, n.talk(t, fmt.Sprintf("POST /pyisolate.v1.CellService/Call HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			made.Msg.GetSecret(), len(body), body)))
	}
	await.That(t, "two answers wait", func() bool { return n.server.Unread() >= 2*large })
	if err := call(a, "a", text); !errors.Is(err, policystore.ErrLimited) {
		t.Errorf("a third: %v", err)
	}
	for name, err := range map[string]error{
		"a small one": call(a, "a", "x"), "another tenant's": call(b, "b", text), "the node's user's": call(n.Client, "a", text),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = a.Cells.Exec(t.Context(), connect.NewRequest(&pb.ExecRequest{Tenant: "a", Name: "c", Code: `post "` + text + `"`}))
	must(t, err)
	receive := func() (posts int, err error) {
		got, err := a.Cells.Recv(t.Context(), connect.NewRequest(&pb.RecvRequest{Tenant: "a", Name: "c", Max: 1}))
		if err != nil {
			return 0, err
		}
		return len(got.Msg.GetItems()), nil
	}
	if _, err := receive(); !errors.Is(err, policystore.ErrLimited) {
		t.Errorf("recv: %v", err)
	}
	stream, err := a.Cells.Stream(t.Context(), connect.NewRequest(&pb.StreamRequest{Tenant: "a", Name: "c", Limit: 1}))
	must(t, err)
	if stream.Receive() || !errors.Is(stream.Err(), policystore.ErrLimited) {
		t.Errorf("stream: %v", stream.Err())
	}
	_ = stream.Close()
	for _, c := range silent {
		_ = c.Close()
	}
	await.That(t, "they are gone", func() bool { return n.server.Unread() == 0 })
	if posts, err := receive(); posts != 1 || err != nil {
		t.Errorf("%d posts, %v", posts, err)
	}
	await.That(t, "nothing is held", func() bool { return n.server.Unread() == 0 })
}
