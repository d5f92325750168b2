package refresh_test

import (
	"bytes"
	"testing"

	"github.com/pyisolate/pyisolate/policystore/refresh"
)

// What is read is written again as it was, and nothing is read that is not valid.
func FuzzSources(f *testing.F) {
	f.Add([]byte(`{"format":1,"sources":[{"name":"a","url":"https://example.com","every_ns":60000000000,"principal":{"Name":"x","Role":3}}]}`))
	f.Add([]byte(`{"format":1,"sources":[]}`))
	f.Add([]byte(`{"format":1,"sources":[{"name":"a","url":"https://example.com","every_ns":60000000000,"principal":{"Name":"x","Role":3},` +
		`"seen":{"sha256":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","etag":"\"1\""}}]}`))
	f.Add([]byte(`{"format":1,"sources":[{"name":"a","url":"http://[::1]:80/%2e","sha256":"AAAA","every_ns":5000000000}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		sources, err := refresh.DecodeSources(text)
		if err != nil {
			return
		}
		all := map[string]refresh.Record{}
		for _, s := range sources {
			if err := s.Validate(); err != nil {
				t.Fatalf("read although %v", err)
			}
			all[s.Name] = s
		}
		written, err := refresh.EncodeSources(all)
		if err != nil {
			t.Fatal(err)
		}
		again, err := refresh.DecodeSources(written)
		if err != nil || len(again) != len(sources) {
			t.Fatalf("%d sources, again %d, %v", len(sources), len(again), err)
		}
		for _, s := range again {
			all[s.Name] = s
		}
		rewritten, err := refresh.EncodeSources(all)
		if err != nil || !bytes.Equal(written, rewritten) {
			t.Fatalf("written %s, then %s, %v", written, rewritten, err)
		}
	})
}
