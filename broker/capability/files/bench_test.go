package files

import (
	"context"
	"os"
	"testing"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/captest"
)

func BenchmarkRead1kB(b *testing.B) {
	dir := b.TempDir()
	if err := os.WriteFile(dir+"/f", make([]byte, 1024), 0o600); err != nil {
		b.Fatal(err)
	}
	for _, walk := range []bool{false, true} {
		name := map[bool]string{false: "openat2", true: "walk"}[walk]
		b.Run(name, func(b *testing.B) {
			d := read()
			d.walk = walk
			s, err := d.Scope(capability.Identity{}, []byte(`"`+dir+`"`))
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.(*scope).Close() }()
			b.SetBytes(1024)
			b.ReportAllocs()
			for b.Loop() {
				c := &capability.Call{Scope: s, MaxAnswer: 1 << 20, Request: capability.Request{Action: "get",
					Payload: capability.Value{Data: []byte(path(dir + "/f"))}}}
				if _, err := d.Do(context.Background(), c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("session", func(b *testing.B) {
		broker := capability.New(capability.Config{}) // without a recorder
		defer func() { _ = broker.Close(context.Background()) }()
		if err := broker.Register(ReadName, Read()); err != nil {
			b.Fatal(err)
		}
		grant, err := capability.ParseGrant(`fs.read={"roots":["` + dir + `"],"rps":1000000,"burst":1000000}`)
		if err != nil {
			b.Fatal(err)
		}
		s, err := broker.Open(capability.Identity{Tenant: "t", Cell: "c"}, capability.Policy{Grants: []capability.Grant{grant}})
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(1024)
		payload := path(dir + "/f")
		for b.Loop() {
			if _, err := captest.Ask(s, "fs.read", "get", payload); err != nil {
				b.Fatal(err)
			}
		}
	})
}
