package contexts

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestContexts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "contexts.yml")
	s, err := Load(path)
	if err != nil || len(s.Contexts) != 0 {
		t.Fatalf("where there is no file: %+v, %v", s, err)
	}
	for _, c := range []Context{{Name: "prod", Server: "https://node:7443", CA: "/ca.pem", TokenFile: "/t"}, {Name: "local", Server: "unix:///run/s", Token: "secret"}} {
		if err := s.Put(c); err != nil {
			t.Fatal(err)
		}
	}
	if s.Current != "prod" {
		t.Errorf("current is %q: the first is expected", s.Current)
	}
	if err := s.Save(path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("permissions %v, %v", info.Mode(), err)
	}
	again, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, again); diff != "" {
		t.Error(diff)
	}
	if err := again.Use("nowhere"); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "there are local, prod") {
		t.Errorf("use of none: %v", err)
	}
	if err := again.Use("local"); err != nil || again.Current != "local" {
		t.Errorf("current is %s, %v", again.Current, err)
	}
	if err := again.Remove("local"); err != nil || again.Current != "" || len(again.Contexts) != 1 {
		t.Errorf("after its removal: %+v, %v", again, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "chmod 0600") {
		t.Errorf("a file that a group can read: %v", err)
	}
}

// The form is read by others, too: the Python SDK reads no other YAML.
func TestWrittenForm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "contexts.yml")
	s := Set{Current: "local", Contexts: []Context{{Name: "local", Server: "unix:///run/s"},
		{Name: "prod", Server: "https://node:7443", CA: "/etc/ca.pem", TokenFile: "/home/me/token"}}}
	if err := s.Save(path); err != nil {
		t.Fatal(err)
	}
	want := "current: local\ncontexts:\n- name: local\n  server: unix:///run/s\n- name: prod\n  server: https://node:7443\n  ca: /etc/ca.pem\n  token-file: /home/me/token\n"
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("it is\n%s%v, want\n%s", got, err, want)
	}
}

func TestWrongFiles(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"no YAML":          {"contexts: [", "contexts.yml"},
		"an unknown key":   {"contexts:\n  - name: a\n    servers: unix:///s\n", "servers"},
		"no name":          {"contexts:\n  - server: unix:///s\n", "a name has"},
		"no server":        {"contexts:\n  - name: a\n", "name an address"},
		"plain":            {"contexts:\n  - {name: a, server: \"http://node:1\"}\n", "https://HOST"},
		"twice":            {"contexts:\n  - {name: a, server: \"unix:///s\"}\n  - {name: a, server: \"unix:///s\"}\n", "twice"},
		"a current of old": {"current: b\ncontexts:\n  - {name: a, server: \"unix:///s\"}\n", "not there"},
		"two tokens":       {"contexts:\n  - {name: a, server: \"unix:///s\", token: t, token-file: f}\n", "keep one"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "contexts.yml")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(path); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %q", err, c.says)
			}
		})
	}
}

func TestTokens(t *testing.T) {
	for text, want := range map[string]string{"pyi_abc\n": "pyi_abc", "": "", " \n": "", "two words": "", strings.Repeat("x", 5000): "", "pyi\x00": ""} {
		got, err := TokenFrom(strings.NewReader(text))
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%.20q is %q, %v", text, got, err)
		}
		if text == "" { // of a context: none
			continue
		}
		if c, err := (Context{Server: "unix:///s", Token: text}).Client(); (err == nil) != (want != "") || err == nil && c.Token != want {
			t.Errorf("a context with %.20q calls with %q, %v", text, c.Token, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "current: a\ncontexts:\n  - {name: a, server: \"unix:///s\"}\n", "contexts: &a [*a]", "- 1"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parse(text)
		if err == nil && s.check() != nil {
			t.Errorf("%q is taken, and wrong", text)
		}
	})
}
