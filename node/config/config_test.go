package config_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/pyisolate/pyisolate/kernel/stack"
	"github.com/pyisolate/pyisolate/node/config"
)

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "node.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func flags(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	f := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	config.AddFlags(f)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	return f
}

// base is an environment in which everything that a node needs has a default.
var base = []string{"PYISOLATE_SOCKET=/run/s", "PYISOLATE_DATA=/var/d"}

// origins are the settings that are not the default's, as KEY=VALUES from ORIGIN.
func origins(l *config.Loaded) (out []string) {
	for _, e := range l.Effective() {
		if e.Origin != "default" {
			out = append(out, e.Key+"="+strings.Join(e.Values, ",")+" from "+e.Origin)
		}
	}
	return out
}

func TestFlagsAreStrongerThanEnvironmentThanFile(t *testing.T) {
	file := writeFile(t, "mode: hardened\nlog: json\n\ndrain-timeout: 1m\nlisten: ['http://127.0.0.1:1', unix:///b]\nplain-loopback: true\nsocket-mode: 0660\n")
	l, err := config.Load(config.Sources{File: file, Flags: flags(t, "--drain-timeout", "0s", "--socket=/flag"),
		Environ: append(base, "PYISOLATE_LOG=text", "PYISOLATE_DRAIN_TIMEOUT=2m", "PYISOLATE_MODE=", "PYISOLATE_LOG_LEVEL=debug")})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"data=/var/d from $PYISOLATE_DATA", "socket=/flag from --socket", "socket-mode=0660 from " + file + ":7",
		"listen=http://127.0.0.1:1,unix:///b from " + file + ":5", "plain-loopback=true from " + file + ":6", "mode=hardened from " + file + ":1",
		"drain-timeout=0s from --drain-timeout", "log=text from $PYISOLATE_LOG", "log-level=debug from $PYISOLATE_LOG_LEVEL",
	}
	if diff := cmp.Diff(want, origins(l)); diff != "" {
		t.Error(diff)
	}
	if l.Node.Mode != stack.Hardened || l.Node.SocketMode != 0o660 || l.Node.DrainTimeout >= 0 || l.LogLevel != slog.LevelDebug {
		t.Errorf("it is %+v", l)
	}
}

func TestAllThatIsWrongIsSaidAtOnce(t *testing.T) {
	file := writeFile(t, "modes: hardened\ndrain-timeout: soon\nmode: strict\nlisten: {a: b}\npull-inner: yes\nlog: json\nlog: text\nsocket:\n")
	_, err := config.Load(config.Sources{File: file, Flags: flags(t, "--broker-io=ring", "--data="), Environ: append(base, "PYISOLATE_LOG_LEVEL=loud")})
	if err == nil {
		t.Fatal("it is taken")
	}
	for _, want := range []string{
		file + `:1: there is no setting "modes"; did you mean mode?`,
		file + `:2: drain-timeout: "soon" is no duration: write 10s`,
		file + `:3: mode: "strict" is not known: write hardened, dev or compatibility`,
		file + `:4: listen: it has a simple value`,
		file + `:5: pull-inner: "yes" is neither: write true or false`,
		file + `:7: log is here twice; the first is on line 6`,
		file + `:8: socket: it has no value`,
		`--broker-io: "ring" is not known`,
		`--data: it is empty: name a directory`,
		`$PYISOLATE_LOG_LEVEL: log-level: "loud" is not known`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said", want)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}

func TestFile(t *testing.T) {
	for _, c := range []struct{ name, text, says string }{
		{"nothing", "", ""},
		{"a comment", "# nothing\n", ""},
		{"one key", "mode: dev\n", ""},
		{"a list", "- mode\n", "keys and values"},
		{"no YAML", "mode: [\n", "this is not YAML"},
		{"two documents", "mode: dev\n---\nlog: json\n", "a second document"},
		{"a list of what has one value", "mode: [dev]\n", "not a list"},
		{"one value of a list", "plain-loopback: true\nlisten: http://localhost:1\n", ""},
		{"an alias", "mode: &a dev\nlog: *a\n", "simple value"},
		{"too much", "#" + strings.Repeat("x", 1<<20), "is the most"},
		{"quoted", "socket-mode: \"0660\"\n", ""},
		{"not octal", "socket-mode: 999\n", "octal digits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := config.Load(config.Sources{File: writeFile(t, c.text), Environ: base})
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %q", err, c.says)
			}
		})
	}
}

func TestFileOfOthersIsRefused(t *testing.T) {
	path := writeFile(t, "mode: dev\n")
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(config.Sources{Environ: append(base, config.FileEnv+"="+path)}); err == nil || !strings.Contains(err.Error(), "chmod o-w") {
		t.Errorf("one that all may change: %v", err)
	}
	if _, err := config.Load(config.Sources{File: "/none/node.yml", Environ: base}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("one that is not there: %v", err)
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	l, err := config.Load(config.Sources{Flags: flags(t, "--pull-proxy", "http://user:hunter2@proxy:1"), Environ: base})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range l.Effective() {
		if strings.Contains(e.YAML(), "hunter2") || strings.Contains(strings.Join(e.Values, ""), "hunter2") {
			t.Errorf("it shows %+v", e)
		}
	}
	if l.Node.PullProxy != "http://user:hunter2@proxy:1" {
		t.Errorf("the node gets %s", l.Node.PullProxy)
	}
}

func TestPasswordsOfAddressesAreNotShown(t *testing.T) {
	l, err := config.Load(config.Sources{Flags: flags(t, "--trace-endpoint", "http://user:hunter2@collector:4318"), Environ: base})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range l.Effective() {
		if strings.Contains(e.YAML(), "hunter2") {
			t.Errorf("it shows %+v", e)
		}
	}
	for _, wrong := range []string{"--trace-endpoint=ftp://user:hunter2@collector:4318", "--trace-endpoint=user:hunter2@collector:4318",
		"--pull-proxy=ftp://user:hunter2@proxy:1", "--pull-proxy=user:hunter2@proxy:1"} {
		if _, err := config.Load(config.Sources{Flags: flags(t, wrong), Environ: base}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

// Of what has one value two are not taken, for one would be dropped.
func TestTwoOfOneName(t *testing.T) {
	for _, given := range [][]string{{"--label", "zone=a,zone=b"}, {"--trace-headers", "X-Key=hunter2,x-key=hunter3"}} {
		if _, err := config.Load(config.Sources{Flags: flags(t, given...), Environ: base}); err == nil || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%v: %v", given, err)
		}
	}
}

func TestMisspeltVariablesAreNamed(t *testing.T) {
	l, err := config.Load(config.Sources{Environ: append(base, "PYISOLATE_MODES=hardened", "PYISOLATE_TOKEN=x", "PYISOLATE_SOMETHING_ELSE=1")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"the variable PYISOLATE_MODES has no meaning; did you mean PYISOLATE_MODE?"}, l.Warnings); diff != "" {
		t.Error(diff)
	}
}

// What is printed is a configuration that means the same.
func TestPrintedIsRead(t *testing.T) {
	first, err := config.Load(config.Sources{Environ: append(base, "PYISOLATE_LISTEN=http://[::1]:1,unix:///a b", "PYISOLATE_PLAIN_LOOPBACK=true",
		`PYISOLATE_STORE=/a "b": #c\d`, "PYISOLATE_SOCKET_MODE=0640", "PYISOLATE_DRAIN_TIMEOUT=90s")})
	if err == nil || first != nil { // a list's values have no spaces
		t.Fatalf("an address %v is taken", first)
	}
	first, err = config.Load(config.Sources{Environ: append(base, "PYISOLATE_LISTEN=http://[::1]:1,unix:///a", "PYISOLATE_PLAIN_LOOPBACK=true",
		`PYISOLATE_STORE=/a "b": #c\d`, "PYISOLATE_SOCKET_MODE=0640", "PYISOLATE_DRAIN_TIMEOUT=90s")})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, e := range first.Effective() {
		text.WriteString(e.YAML() + "\n")
	}
	second, err := config.Load(config.Sources{File: writeFile(t, text.String()), Environ: []string{}})
	if err != nil {
		t.Fatalf("%v\n%s", err, text.String())
	}
	if diff := cmp.Diff(first.Node.Resolved().Store, second.Node.Resolved().Store); diff != "" {
		t.Error(diff)
	}
	for i, e := range second.Effective() {
		if diff := cmp.Diff(first.Effective()[i].Values, e.Values); diff != "" {
			t.Errorf("%s: %s", e.Key, diff)
		}
	}
	if second.Node.DrainTimeout != 90*time.Second {
		t.Errorf("it drains for %s", second.Node.DrainTimeout)
	}
}

func TestEverySettingIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range config.Settings {
		if !strings.Contains(string(page), "`"+s.Key+"`") {
			t.Errorf("%s is not in docs/configuration.md", s.Key)
		}
		if s.Usage == "" || s.Env() != strings.ToUpper(s.Env()) {
			t.Errorf("%s: usage %q, variable %s", s.Key, s.Usage, s.Env())
		}
	}
}

func FuzzFile(f *testing.F) {
	for _, seed := range []string{"mode: dev\n", "listen: [a, b]\n", "a: &b c\n", "- \n", "socket-mode: 0660", "? [a]\n: b\n", "!!binary x: y"} {
		f.Add(seed)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(dir, "node.yml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := config.Load(config.Sources{File: path, Environ: base})
		if (l == nil) == (err == nil) {
			t.Errorf("loaded %v, error %v", l, err)
		}
	})
}
