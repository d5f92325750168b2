package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
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

func TestCellRef(t *testing.T) {
	for text, want := range map[string][2]string{"one": {"", "one"}, "shop/one": {"shop", "one"}, "a/b/c": {"a", "b/c"}, "": {"", ""}} {
		if r := cellRef(text); r.GetTenant() != want[0] || r.GetName() != want[1] {
			t.Errorf("%q is %v", text, r)
		}
	}
}
