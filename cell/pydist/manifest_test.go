package pydist

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var cmpManifest = cmp.AllowUnexported(manifest{}, fileEntry{}, linkEntry{}, stamp{})

func sample() manifest {
	return manifest{
		files: []fileEntry{{path: "lib/a file with spaces.py", sha256: "00ff", stamp: stamp{1, 2, 3}}},
		links: []linkEntry{{path: "bin/python3", target: "python3.14"}},
	}
}

func TestManifestRoundTrip(t *testing.T) {
	got, err := decodeManifest(sample().encode())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got, cmpManifest); diff != "" {
		t.Error(diff)
	}
}

// signed ends a body with its right checksum, to reach what lies behind it.
func signed(body string) []byte {
	sum := sha256.Sum256([]byte(body))
	return []byte(body + "sha256 " + hex.EncodeToString(sum[:]) + "\n")
}

func TestManifestRefusals(t *testing.T) {
	whole := sample().encode()
	for name, data := range map[string][]byte{
		"empty":            nil,
		"cut":              whole[:len(whole)-10],
		"first byte":       append([]byte("x"), whole[1:]...),
		"other magic":      signed("something else\n"),
		"unknown line":     signed(manifestMagic + "\nx y\n"),
		"few fields":       signed(manifestMagic + "\nf 00 1 2\n"),
		"bad number":       signed(manifestMagic + "\nf 00 1 2 x path\n"),
		"path outside":     signed(manifestMagic + "\nf 00 1 2 3 ../etc/passwd\n"),
		"link outside":     signed(manifestMagic + "\nl x /etc/passwd\n"),
		"link without end": signed(manifestMagic + "\nl x\n"),
	} {
		t.Run(name, func(t *testing.T) {
			if m, err := decodeManifest(data); err == nil {
				t.Errorf("accepted: %+v", m)
			}
		})
	}
}

// FuzzDecodeManifest: what is accepted encodes to the same meaning.
func FuzzDecodeManifest(f *testing.F) {
	body, _ := checkedBody(sample().encode())
	f.Add(string(body))
	f.Add(manifestMagic + "\nf 00 1 2 3 a\n")
	f.Fuzz(func(t *testing.T, body string) {
		m, err := decodeManifest(signed(body))
		if err != nil {
			return
		}
		again, err := decodeManifest(m.encode())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(m.encode(), again.encode()) {
			t.Errorf("%q changed: %+v, then %+v", body, m, again)
		}
	})
}
