package send_test

import (
	"context"
	"fmt"
	"testing"
	"time"

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

func (i *inbox) Publish(_ context.Context, from capability.Identity, topic string, m capability.Value) (int, int, error) {
	i.got = append(i.got, fmt.Sprintf("%s to all of %s: %s %s", from.Cell, topic, m.Type, m.Data))
	return 2, 1, nil
}

func (i *inbox) Subscribe(from capability.Identity, topic string) error {
	i.got = append(i.got, from.Cell+" hears "+topic)
	return nil
}

func (i *inbox) Narrow(from capability.Identity, to []string) {
	i.got = append(i.got, fmt.Sprintf("%s hears only %q", from.Cell, to))
}

func (i *inbox) Unsubscribe(from capability.Identity, topic string) error {
	i.got = append(i.got, from.Cell+" hears no "+topic)
	return nil
}

func TestTopics(t *testing.T) {
	box := &inbox{}
	s := captest.Open(t, map[string]capability.Capability{send.Name: send.New(box)}, `send={"topics":["news"],"hear":["chat.eu"]}`)
	v, err := s.Ask("send", "publish", `{"topic":"news","value":1}`)
	if err != nil || string(v.Data) != `{"delivered":2,"refused":1}` {
		t.Errorf("%s %v", v.Data, err)
	}
	for _, action := range []string{"subscribe", "unsubscribe"} {
		if _, err := s.Ask("send", action, `{"topic":"chat.eu"}`); err != nil {
			t.Error(err)
		}
	}
	want := []string{`cell-1 hears only ["chat.eu"]`, "cell-1 to all of news: application/json 1", "cell-1 hears chat.eu", "cell-1 hears no chat.eu"}
	if fmt.Sprint(box.got) != fmt.Sprint(want) {
		t.Errorf("%q", box.got)
	}
	for _, c := range []struct {
		action, payload string
		kind            capability.Kind
	}{
		{"publish", `{"topic":"chat.eu","value":1}`, capability.Denied},
		{"subscribe", `{"topic":"news"}`, capability.Denied},
		{"unsubscribe", `{"topic":"news"}`, capability.Denied},
		{"send", `{"to":"news","value":1}`, capability.Denied},
		{"publish", `{"topic":"news"}`, capability.Invalid},
		{"subscribe", `{"topic":"chat.eu","value":1}`, capability.Invalid},
		{"shout", `{}`, capability.Invalid},
	} {
		_, err := s.Ask("send", c.action, c.payload)
		captest.Want(t, err, c.kind)
	}
	for _, bad := range []string{`send={"topics":["a b"]}`, `send={"hear":[""]}`, `send={"subjects":["a"]}`} {
		_, err := s.TryAs("t", "c", bad)
		captest.Want(t, err, capability.Invalid)
	}
}

// late is an inbox whose subscriptions take their time.
type late struct {
	inbox
	begun, goOn chan struct{}
	settled     chan struct{} // one for each time that subscriptions were ended
}

func (l *late) Narrow(from capability.Identity, to []string) {
	l.inbox.Narrow(from, to)
	l.settled <- struct{}{}
}

func (l *late) Subscribe(from capability.Identity, topic string) error {
	close(l.begun)
	<-l.goOn
	return l.inbox.Subscribe(from, topic)
}

// A subscription that passes the end of its grant is ended after it.
func TestLateSubscription(t *testing.T) {
	l := &late{begun: make(chan struct{}), goOn: make(chan struct{}), settled: make(chan struct{}, 3)}
	s := captest.Open(t, map[string]capability.Capability{send.Name: send.New(l)}, `send={"hear":["news"]}`)
	done := make(chan error, 1)
	go func() {
		_, err := s.Ask("send", "subscribe", `{"topic":"news"}`)
		done <- err
	}()
	<-l.begun
	if err := s.Update(capability.Policy{Version: 2}); err != nil {
		t.Fatal(err)
	}
	close(l.goOn)
	captest.Want(t, <-done, capability.Denied) // which need not wait for the subscription
	for _, when := range []string{"as the session was opened", "as the grant ended", "after the late subscription"} {
		select {
		case <-l.settled:
		case <-time.After(20 * time.Second):
			t.Fatalf("nothing was ended %s", when)
		}
	}
	want := []string{`cell-1 hears only ["news"]`, "cell-1 hears only []", "cell-1 hears news", "cell-1 hears only []"}
	if fmt.Sprint(l.got) != fmt.Sprint(want) {
		t.Errorf("%q", l.got)
	}
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
	want := []string{"cell-1 hears only []", `acme/cell-1 to worker: application/json {"n":[1,null]}`, "acme/cell-1 to worker: application/octet-stream raw"}
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
	captest.Want(t, err, capability.Unavailable, "serves")
	_, err = s.Ask("send", "send", `{"to":"other","value":1}`)
	captest.Want(t, err, capability.Denied)
}
