package send_test

import (
	"context"
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/captest"
	"github.com/pyisolate/pyisolate/broker/capability/send"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inbox is a Sender that keeps what it is given.
type inbox struct{ got []string }

func (i *inbox) Send(_ context.Context, from capability.Identity, to string, m capability.Value) error {
	if to == "full" {
		return capability.Errorf(capability.Busy, "the inbox of full is full")
	}
	i.got = append(i.got, fmt.Sprintf("%s/%s to %s: %s %s", from.Tenant, from.Cell, to, m.Type, m.Data))
	return nil
}

func TestSend(t *testing.T) {
	box := &inbox{}
	s := captest.Open(t, map[string]capability.Capability{send.Name: send.New(box)}, "send=worker", "send=full")
	if _, err := s.Ask("send", "send", `{"to":"worker","value":{"n":[1,null]}}`); err != nil {
		t.Error(err)
	}
	packed, _ := capability.Pack(map[string]string{"to": "worker"}, []byte("raw"))
	if _, err := s.Do(context.Background(), capability.Request{Capability: "send", Action: "send", Payload: packed}); err != nil {
		t.Error(err)
	}
	want := []string{`acme/cell-1 to worker: application/json {"n":[1,null]}`, "acme/cell-1 to worker: application/octet-stream raw"}
	if fmt.Sprint(box.got) != fmt.Sprint(want) {
		t.Errorf("got %q", box.got)
	}
	for payload, kind := range map[string]capability.Kind{
		`{"to":"other","value":1}`: capability.Denied, `{"to":"full","value":1}`: capability.Busy, `{"to":"worker"}`: capability.Invalid,
	} {
		_, err := s.Ask("send", "send", payload)
		captest.Want(t, err, kind)
	}
	for _, bad := range []string{"send", "send=a/b", `send={"names":[]}`} {
		_, err := s.TryAs("t", "c", bad)
		captest.Want(t, err, capability.Invalid)
	}
}

func TestWithoutASender(t *testing.T) {
	s := captest.Open(t, map[string]capability.Capability{send.Name: send.New(nil)}, "send=worker")
	_, err := s.Ask("send", "send", `{"to":"worker","value":1}`)
	captest.Want(t, err, capability.Unavailable, "actor layer")
	_, err = s.Ask("send", "send", `{"to":"other","value":1}`)
	captest.Want(t, err, capability.Denied)
}
