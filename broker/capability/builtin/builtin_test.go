package builtin_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/builtin"
	"github.com/pyisolate/pyisolate/broker/capability/captest"
	"github.com/pyisolate/pyisolate/broker/capability/jail"
	"github.com/pyisolate/pyisolate/broker/capability/kv"
	"github.com/pyisolate/pyisolate/broker/capability/secrets"
)

func TestMain(m *testing.M) {
	jail.Init()
	goleak.VerifyTestMain(m)
}

// The grants of the command line, each with a request that it allows.
func TestShortGrants(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := kv.Open(filepath.Join(dir, "kv.db"), kv.Config{})
	if err != nil {
		t.Fatal(err)
	}
	broker := capability.New(capability.Config{})
	defer func() {
		if err := broker.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	if err := builtin.Register(broker, builtin.Config{KV: store, Secrets: secrets.Static{"NAME": "value"}}); err != nil {
		t.Fatal(err)
	}
	grants, err := capability.ParseGrants([]string{"fs.read=" + dir, "fs.list=" + dir, "fs.write=" + dir, "http.fetch=api.example.com:443",
		"secrets.get=NAME", "kv", "clock", "random", "send=worker", "subprocess.run=/usr/bin/true"})
	if err != nil {
		t.Fatal(err)
	}
	session, err := broker.Open(capability.Identity{Tenant: "t", Cell: "c"}, capability.Policy{Version: 1, Grants: grants})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, action, payload string
		want                  capability.Kind
	}{
		{"fs.read", "get", `{"path":"` + dir + `/f"}`, capability.OK},
		{"fs.list", "list", `{"path":"` + dir + `"}`, capability.OK},
		{"fs.write", "put", `{"path":"` + dir + `/g","text":"x"}`, capability.OK},
		{"http.fetch", "fetch", `{"url":"https://other.example.com/"}`, capability.Denied},
		{"secrets.get", "get", `{"name":"NAME"}`, capability.OK},
		{"kv", "put", `{"key":"k","text":"v"}`, capability.OK},
		{"clock", "now", "", capability.OK},
		{"random", "bytes", `{"n":8}`, capability.OK},
		{"send", "send", `{"to":"worker","value":1}`, capability.Unavailable},
		{"subprocess.run", "run", `{"argv":["/usr/bin/false"]}`, capability.Denied},
	} {
		if v, err := captest.Ask(session, c.name, c.action, c.payload); capability.KindOf(err) != c.want {
			t.Errorf("%s: %v, %v", c.name, v, err)
		}
	}
}

func TestWithoutAStore(t *testing.T) {
	broker := capability.New(capability.Config{})
	defer func() { _ = broker.Close(context.Background()) }()
	if err := builtin.Register(broker, builtin.Config{}); err != nil {
		t.Fatal(err)
	}
	_, err := broker.Open(capability.Identity{Tenant: "t", Cell: "c"}, capability.Policy{Grants: []capability.Grant{{Capability: "kv"}}})
	captest.Want(t, err, capability.Invalid, "no such capability")
	if err := builtin.Register(broker, builtin.Config{}); capability.KindOf(err) != capability.Conflict {
		t.Errorf("a second time: %v", err)
	}
}
