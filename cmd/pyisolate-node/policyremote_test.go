package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/policystore/document"
)

func TestPublicKey(t *testing.T) {
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	encoded, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	inPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: encoded})
	for _, c := range []struct{ name, text, says string }{
		{"hexadecimal", hex.EncodeToString(public), ""},
		{"base64", base64.StdEncoding.EncodeToString(public), ""},
		{"a file", write("key.pem", inPEM), ""},
		{"too short", hex.EncodeToString(public[1:]), "no key, and no file"},
		{"no file", filepath.Join(dir, "none"), "no such file"},
		{"a file without PEM", write("raw", public), "not in PEM"},
		{"another key", write("other.pem", []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")), "no Ed25519 public key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			key, err := publicKey(c.text)
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("error %v, want %q", err, c.says)
			}
			if err == nil && !public.Equal(ed25519.PublicKey(key)) {
				t.Errorf("key %x, want %x", key, public)
			}
		})
	}
}

// What a node says of others' words moves no cursor, whatever it is about.
func TestNodesWordsArePlain(t *testing.T) {
	const evil, escaped = "\x1b]0;owned\a\x1b[2J", `\x1b]0;owned\a\x1b[2J`
	for name, err := range map[string]error{
		"an error":                 fmt.Errorf("%s\nsecond line\tof it", evil),
		"a node that is not there": fmt.Errorf("%w: %s\nsecond line\tof it", fault.ErrUnavailable, evil),
		"a document's fault":       document.Problems{{File: "web", Line: 1, Message: evil, Hint: "second line\tof it"}},
	} {
		var out bytes.Buffer
		r := &remote{err: &out}
		_ = r.failed(t.Context(), err)
		if text := out.String(); strings.ContainsAny(text, "\x1b\a") || !strings.Contains(text, escaped) || !strings.Contains(text, "second line\tof it") {
			t.Errorf("%s: %q", name, text)
		}
	}
	var out bytes.Buffer
	r := &remote{out: &out}
	err := r.versions(func() ([]*pb.Version, bool, error) {
		return []*pb.Version{{Name: "web", Number: 1, Author: evil, Comment: evil, Source: evil}}, false, nil
	})
	if text := out.String(); err != nil || strings.ContainsAny(text, "\x1b\a") || strings.Count(text, escaped) != 3 {
		t.Errorf("versions: %q, %v", text, err)
	}
}

func TestCellName(t *testing.T) {
	for text, want := range map[string][2]string{"one": {"", "one"}, "shop/one": {"shop", "one"}, "a/b/c": {"a", "b/c"}, "": {"", ""}} {
		if tenant, name := cellName(text); tenant != want[0] || name != want[1] {
			t.Errorf("%q is %q of %q", text, name, tenant)
		}
	}
}
