package secrets_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/captest"
	"github.com/pyisolate/pyisolate/broker/capability/secrets"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const value = "hunter2-Pa55w0rd"

func open(t *testing.T, p secrets.Provider, grants ...string) *captest.Session {
	return captest.Open(t, map[string]capability.Capability{secrets.Name: secrets.New(p)}, grants...)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestProviders(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "DB"), value+"\n")
	write(t, filepath.Join(dir, "..outside"), "")
	if err := os.Symlink("DB", filepath.Join(dir, "LINK")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "ESCAPE")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "BIG"), strings.Repeat("x", secrets.MaxBytes+1))
	file := filepath.Join(t.TempDir(), "all.json")
	write(t, file, `{"DB":"`+value+`"}`)
	t.Setenv("APP_DB", value)
	t.Setenv("APP_OTHER", value)

	for _, c := range []struct {
		name string
		p    secrets.Provider
	}{
		{"static", secrets.Static{"DB": value}},
		{"env", secrets.Env{Prefix: "APP_", Names: []string{"DB"}}},
		{"dir", secrets.Dir(dir)},
		{"file", secrets.File(file)},
		{"first", secrets.First{secrets.Static{}, secrets.Dir(dir)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, c.p, "secrets.get=DB", "secrets.get=MISSING", "secrets.get=OTHER")
			v, err := s.Ask(secrets.Name, "get", `{"name":"DB"}`)
			if err != nil || string(v.Data) != `"`+value+`"` {
				t.Error(string(v.Data), err)
			}
			for _, name := range []string{"MISSING", "OTHER"} {
				_, err = s.Ask(secrets.Name, "get", `{"name":"`+name+`"}`)
				captest.Want(t, err, capability.NotFound, "does not have it")
			}
		})
	}
	s := open(t, secrets.Dir(dir), "secrets.get=LINK", "secrets.get=ESCAPE", "secrets.get=BIG")
	if v, err := s.Ask(secrets.Name, "get", `{"name":"LINK"}`); err != nil || string(v.Data) != `"`+value+`"` {
		t.Error("a link within the directory:", err)
	}
	for _, name := range []string{"ESCAPE", "BIG"} {
		_, err := s.Ask(secrets.Name, "get", `{"name":"`+name+`"}`)
		captest.Want(t, err, capability.Internal)
	}
}

// A value of the largest size is answered, and one byte more is not, wherever it comes from.
func TestValueBounds(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "all.json")
	most := strings.Repeat("x", secrets.MaxBytes)
	values := map[string]string{"MOST": most, "MORE": most + "x"}
	write(t, file, captest.JSON(values))
	for name, v := range values {
		write(t, filepath.Join(dir, name), v)
		t.Setenv("APP_"+name, v)
	}
	for name, p := range map[string]secrets.Provider{
		"static": secrets.Static(values),
		"env":    secrets.Env{Prefix: "APP_", Names: []string{"MOST", "MORE"}},
		"dir":    secrets.Dir(dir),
		"file":   secrets.File(file),
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, p, "secrets.get=MOST", "secrets.get=MORE")
			if v, err := s.Ask(secrets.Name, "get", `{"name":"MOST"}`); err != nil || string(v.Data) != `"`+most+`"` {
				t.Error(len(v.Data), err)
			}
			_, err := s.Ask(secrets.Name, "get", `{"name":"MORE"}`)
			captest.Want(t, err, capability.Internal)
		})
	}
}

// A file that is too much is refused with the bound that it is over.
func TestFileBounds(t *testing.T) {
	names := func(n int) string {
		all := map[string]string{}
		for i := range n {
			all[fmt.Sprintf("N%d", i)] = value
		}
		return captest.JSON(all)
	}
	for name, c := range map[string]struct{ text, says string }{
		"as many names as possible": {names(capability.MaxKeys), ""},
		"one name more":             {names(capability.MaxKeys + 1), "at most 256 strings"},
		"two spellings":             {`{"N0":"1","n0":"2"}`, "differ by more than case"},
		"too long":                  {`{"N0":"` + strings.Repeat("x", 1<<20) + `"}`, "it has more than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "all.json")
			write(t, file, c.text)
			_, err := secrets.File(file).Secret(t.Context(), "", "N0")
			if (err == nil) != (c.says == "") {
				t.Fatal(err)
			}
			if err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "%!")) {
				t.Errorf("%q does not say %q", err, c.says)
			}
		})
	}
}

func TestOnlyGrantedNames(t *testing.T) {
	s := open(t, secrets.Static{"A": value, "B": value, "BIN": "\xff\x00"}, "secrets.get=B", "secrets.get=A", "secrets.get=BIN")
	if v, err := s.Ask(secrets.Name, "list", ""); err != nil || string(v.Data) != `["A","B","BIN"]` {
		t.Error(string(v.Data), err)
	}
	if v, err := s.Ask(secrets.Name, "get", `{"name":"BIN"}`); err != nil || v.Type != capability.Bytes || string(v.Data) != "\xff\x00" {
		t.Error(v, err)
	}
	other := s.As("acme", "c2", "secrets.get=A")
	_, err := captest.Ask(other, secrets.Name, "get", `{"name":"B"}`)
	captest.Want(t, err, capability.Denied, "names")
	for _, name := range []string{"", "../A", "A/B", ".A", "A\n", strings.Repeat("A", 129)} {
		_, err := s.Ask(secrets.Name, "get", captest.JSON(map[string]string{"name": name}))
		captest.Want(t, err, capability.Invalid)
	}
	_, err = s.Ask(secrets.Name, "put", "")
	captest.Want(t, err, capability.Invalid, "use get, list")
	for _, bad := range []string{"secrets.get", "secrets.get=../x", `secrets.get={"names":[]}`} {
		_, err := s.TryAs("t", "c", bad)
		captest.Want(t, err, capability.Invalid)
	}
}

// leaky is a provider whose faults hold the value, as a careless one's might.
type leaky struct{ mode string }

func (l leaky) Secret(context.Context, string, string) (secrets.Redacted, error) {
	switch l.mode {
	case "panic":
		panic("the value is " + value)
	case "redacted error":
		return secrets.Redacted{}, fmt.Errorf("could not use %v %d %x %q %+v", secrets.NewRedacted([]byte(value)), secrets.NewRedacted([]byte(value)),
			secrets.NewRedacted([]byte(value)), secrets.NewRedacted([]byte(value)), secrets.NewRedacted([]byte(value)))
	}
	return secrets.NewRedacted([]byte(value)), nil
}

// Whatever happens to a secret, no record, log line or error has the value, in any
// of the spellings a formatter could give it.
func TestValuesAreNowhereButInTheAnswer(t *testing.T) {
	var log bytes.Buffer
	recorder := capability.NewLogRecorder(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), 0)
	var seen []string
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.json")
	write(t, broken, `{"DB": "`+value+`", "DB2": {"`+value+`":1}}`)
	for _, p := range []secrets.Provider{leaky{}, leaky{"panic"}, leaky{"redacted error"}, secrets.File(broken), secrets.Static{"DB": value}} {
		s := open(t, p, "secrets.get=DB")
		v, err := s.Ask(secrets.Name, "get", `{"name":"DB"}`)
		seen = append(seen, fmt.Sprintf("%v %+v %#v", err, err, err), fmt.Sprint(v), fmt.Sprintf("%#v %+v", v, v), fmt.Sprintf("%v %+v %#v", p, p, p))
		_, err = s.Ask(secrets.Name, "get", `{"name":"OTHER"}`)
		seen = append(seen, fmt.Sprint(err))
		for _, r := range s.Records() {
			recorder.Record(r)
			seen = append(seen, fmt.Sprintf("%#v", r), captest.JSON(r))
		}
		for _, d := range s.Denials() {
			seen = append(seen, fmt.Sprintf("%#v", d), captest.JSON(d))
		}
	}
	seen = append(seen, log.String())
	all := strings.Join(seen, "\n")
	if log.Len() == 0 || !strings.Contains(all, "panic") {
		t.Fatal("there is nothing to look through")
	}
	hex := fmt.Sprintf("%x", value)
	decimal := strings.Trim(fmt.Sprintf("%d", []byte(value)), "[]")
	for _, spelling := range []string{value, hex, strings.ToUpper(hex), decimal, value[:8], "aHVudGVyMi1QYTU1dzByZA"} {
		if i := strings.Index(all, spelling); i >= 0 {
			t.Errorf("%q is in: %s", spelling, all[max(0, i-200):min(len(all), i+80)])
		}
	}
}

func TestRedacted(t *testing.T) {
	r := secrets.NewRedacted([]byte(value))
	encoded, err := json.Marshal(map[string]any{"r": r, "p": &r})
	text := fmt.Sprintf("%v %s %q %x %X %d %#v %+v %T %v", r, r, r, r, r, r, r, r, r, &r) + string(encoded) + slog.AnyValue(r).Resolve().String()
	if err != nil || strings.Contains(text, "hunter") || strings.Contains(text, "68756e") || strings.Contains(text, "104 117") {
		t.Error(text, err)
	}
	if string(r.Reveal()) != value {
		t.Error("it cannot be revealed")
	}
	if _, err := (secrets.First{}).Secret(context.Background(), "", "x"); !errors.Is(err, secrets.ErrNotFound) {
		t.Error(err)
	}
}
