package builtin_test

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/builtin"
	"github.com/pyisolate/pyisolate/broker/capability/fetch"
	"github.com/pyisolate/pyisolate/broker/capability/kv"
	"github.com/pyisolate/pyisolate/broker/capability/secrets"
)

// everything is a broker with all that is built in, which resolves no name and has
// nothing to send to.
func everything(f *testing.F) *capability.Broker {
	f.Helper()
	store, err := kv.Open(filepath.Join(f.TempDir(), "kv.db"), kv.Config{Keys: 20, Bytes: 10_000})
	if err != nil {
		f.Fatal(err)
	}
	broker := capability.New(capability.Config{})
	f.Cleanup(func() {
		if err := broker.Close(context.Background()); err != nil {
			f.Error(err)
		}
	})
	err = builtin.Register(broker, builtin.Config{KV: store, Secrets: secrets.Static{"NAME": "value"}, Fetch: fetch.Config{
		Lookup: func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no such host") }}})
	if err != nil {
		f.Fatal(err)
	}
	return broker
}

// FuzzGrants: a grant comes into force or is refused as invalid; nothing else.
func FuzzGrants(f *testing.F) {
	broker := everything(f)
	dir := f.TempDir()
	for _, s := range []string{"fs.read=" + dir, `fs.write={"roots":["` + dir + `"],"mode":"0600","total_bytes":1}`, "http.fetch=*.example.com:443",
		`http.fetch={"hosts":["a.b"],"addresses":["10.0.0.0/8"],"headers":["X"],"redirects":10}`, "secrets.get=NAME", "kv=app/",
		`kv={"prefix":"a","read_only":true,"max_keys":1}`, "clock", "random", "send=worker", "subprocess.run=/usr/bin/wc -c",
		`subprocess.run={"programs":[{"path":"/bin/x","args":["re:a+","..."]}],"wall":"1s","memory":"1MiB"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		grants, err := capability.ParseGrants([]string{text})
		if err != nil {
			return
		}
		s, err := broker.Open(capability.Identity{Tenant: "t", Cell: "c"}, capability.Policy{Grants: grants})
		if err == nil {
			s.Close()
			return
		}
		switch capability.KindOf(err) {
		case capability.Invalid, capability.NotFound, capability.Denied, capability.Failed, capability.TooLarge, capability.Unavailable:
		default:
			t.Fatalf("grant %q: %v", text, err)
		}
	})
}

// FuzzPayloads sends anything to every capability, as JSON and packed. It is answered,
// or refused in a way that is not a fault of the node's.
func FuzzPayloads(f *testing.F) {
	dir := f.TempDir()
	names := []string{"fs.read", "fs.list", "fs.write", "http.fetch", "secrets.get", "kv", "clock", "random", "send", "subprocess.run"}
	grants, err := capability.ParseGrants([]string{"fs.read=" + dir, "fs.list=" + dir, `fs.write={"roots":["` + dir + `"],"total_bytes":100000}`,
		"http.fetch=a.example.com", "secrets.get=NAME", "kv", "clock", "random", "send=worker", "subprocess.run=/does/not/exist"})
	if err != nil {
		f.Fatal(err)
	}
	for i := range grants {
		grants[i].RPS, grants[i].Burst = 1_000_000, 1_000_000
	}
	s, err := everything(f).Open(capability.Identity{Tenant: "t", Cell: "c"}, capability.Policy{Grants: grants})
	if err != nil {
		f.Fatal(err)
	}
	for i, seed := range []struct{ action, payload string }{
		{"get", `{"path":"` + dir + `/f","offset":1,"length":-1}`}, {"list", `{"path":"` + dir + `","limit":10000}`},
		{"put", `{"path":"` + dir + `/f","base64":"AA=="}`}, {"fetch", `{"url":"https://a.example.com/","headers":{"A":["b"]}}`},
		{"get", `{"name":"NAME"}`}, {"cas", `{"key":"k","expect":{"text":"v"},"delete":true}`}, {"now", `null`}, {"bytes", `{"n":65537}`},
		{"send", `{"to":"worker","value":[1]}`}, {"run", `{"argv":["/does/not/exist","x"]}`}} {
		f.Add(uint8(i), seed.action, seed.payload, []byte(nil), false)
		f.Add(uint8(i), seed.action, seed.payload, []byte("body"), true)
	}
	f.Fuzz(func(t *testing.T, which uint8, action, payload string, body []byte, packed bool) {
		name := names[int(which)%len(names)]
		v := capability.Value{Type: capability.JSON, Data: []byte(payload)}
		if packed {
			v = capability.BytesValue(append([]byte{0, 0, byte(len(payload) >> 8), byte(len(payload))}, append([]byte(payload), body...)...))
		}
		answer, err := s.Do(t.Context(), capability.Request{Capability: name, Action: action, Payload: v})
		if k := capability.KindOf(err); k == capability.Internal || k == capability.Busy {
			t.Fatalf("%s %s %q: %v, %v", name, action, v.Data, answer, err)
		}
	})
}
