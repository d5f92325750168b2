package seal_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/broker/seal"
)

func TestSecretTravels(t *testing.T) {
	s := must(seal.GenerateSecret())(t)
	var pipe bytes.Buffer
	if err := seal.WriteSecret(&pipe, s); err != nil {
		t.Fatal(err)
	}
	pipe.WriteString("rest")
	sent := slices.Clone(pipe.Bytes()[:seal.SecretSize])
	got := must(seal.ReadSecret(&pipe))(t)
	if pipe.String() != "rest" {
		t.Errorf("ReadSecret left %q", pipe.String())
	}
	var again bytes.Buffer
	if err := seal.WriteSecret(&again, got); err != nil {
		t.Fatal(err)
	}
	same(t, "secret", again.Bytes(), sent)
	if err := seal.WriteSecret(&again, must(seal.GenerateSecret())(t)); err != nil {
		t.Fatal(err)
	}
	if bytes.HasSuffix(again.Bytes(), sent) {
		t.Error("two secrets are the same")
	}
}

func TestNewSecretTakesTheBytesOver(t *testing.T) {
	b := launchSecret()
	must(seal.NewSecret(b))(t)
	if !isZero(b) {
		t.Errorf("the caller's bytes are left: %x", b)
	}
}

func TestUnusableSecrets(t *testing.T) {
	for name, b := range map[string][]byte{
		"none": nil, "short": count(1, 31), "long": count(1, 33), "zero": make([]byte, 32),
	} {
		if _, err := seal.NewSecret(b); !errors.Is(err, seal.ErrSecret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range seal.SecretSize {
		if _, err := seal.ReadSecret(bytes.NewReader(count(1, n))); !errors.Is(err, seal.ErrSecret) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := seal.ReadSecret(bytes.NewReader(count(1, 5))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the reader's error is lost: %v", err)
	}
	for name, s := range map[string]*seal.Secret{"nil": nil, "empty": {}} {
		if err := seal.WriteSecret(io.Discard, s); !errors.Is(err, seal.ErrSecret) {
			t.Errorf("%s: %v", name, err)
		}
		s.Destroy()
	}
}

func TestDestroyReachesCopies(t *testing.T) {
	s := must(seal.NewSecret(launchSecret()))(t)
	c := *s
	s.Destroy()
	s.Destroy()
	if err := seal.WriteSecret(io.Discard, &c); !errors.Is(err, seal.ErrSecret) {
		t.Errorf("a copy outlives Destroy: %v", err)
	}
}

// No way to print a secret shows it, be it a pointer, a value or a field.
func TestSecretDoesNotPrint(t *testing.T) {
	s := must(seal.NewSecret(launchSecret()))(t)
	cfg := seal.Config{Secret: s}
	var out strings.Builder
	for _, v := range []any{s, *s, cfg, &cfg, []any{s, *s}, map[string]any{"s": *s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("log", "value", v)
		}
	}
	for _, v := range []any{s, *s, []any{s}, map[string]any{"s": *s}, struct{ S *seal.Secret }{s}} {
		out.Write(must(json.Marshal(v))(t))
	}
	out.WriteString(s.String() + s.GoString() + fmt.Sprint(s.LogValue()))
	for _, verb := range []string{"%v", "%#v", "%x", "%d", "%s"} {
		if got := fmt.Sprintf(verb, *s); got != "[launch secret]" {
			t.Errorf("%s gives %q", verb, got)
		}
	}
	text := strings.ToLower(out.String())
	first := launchSecret()[:4]
	for _, form := range []string{
		hex.EncodeToString(first), string(first), "1, 2, 3, 4", "1 2 3 4", "0x1, 0x2, 0x3", "01 02 03", "aqid",
	} {
		if strings.Contains(text, form) {
			t.Errorf("printed as %q", form)
		}
	}
}
