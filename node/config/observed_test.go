package config_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/node/config"
)

func TestWhatIsObserved(t *testing.T) {
	hooks := filepath.Join(t.TempDir(), "hooks.yml")
	if err := os.WriteFile(hooks, []byte("- url: https://alerts.example.com/x\n  kinds: [DENIED]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := config.Load(config.Sources{File: writeFile(t, "trace-endpoint: http://collector:4318\ntrace-headers: [authorization=Bearer hunter2]\ntrace-ratio: 0.25\nmetric-tags: [unit]\nwebhooks: "+hooks+"\n"), Environ: base})
	if err != nil {
		t.Fatal(err)
	}
	c := l.Node
	if c.TraceHeaders["authorization"] != "Bearer hunter2" || c.TraceRatio != 0.25 || len(c.Webhooks) != 1 || c.Webhooks[0].URL != "https://alerts.example.com/x" || len(c.MetricTags) != 1 {
		t.Errorf("it is %+v", c)
	}
	for _, e := range l.Effective() {
		if strings.Contains(e.YAML(), "hunter2") {
			t.Errorf("it shows %s", e.YAML())
		}
	}
}

// A variable's headers are separated by commas alone, and no part of a value is shown as if it were a name.
func TestHeadersOfAVariable(t *testing.T) {
	const secret = "dXNlcjpwYXNzd29yZA"
	l, err := config.Load(config.Sources{Environ: append(slices.Clone(base), "PYISOLATE_TRACE_HEADERS=Authorization=Basic "+secret+"==, X-Scope=a b")})
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"Authorization": "Basic " + secret + "==", "X-Scope": "a b"}; !maps.Equal(l.Node.TraceHeaders, want) {
		t.Errorf("headers %v", l.Node.TraceHeaders)
	}
	for _, e := range l.Effective() {
		if strings.Contains(e.YAML(), secret) {
			t.Errorf("it shows %s", e.YAML())
		}
	}
	for name, headers := range map[string]string{
		"a space in a name": "Basic " + secret + "==", "no value": secret + "=", "half of a value": "Authorization=Digest a," + secret,
		"a line in a value": "a=b\nSecret: " + secret,
	} {
		_, err := config.Load(config.Sources{Environ: append(slices.Clone(base), "PYISOLATE_TRACE_HEADERS="+headers)})
		if err == nil || !strings.Contains(err.Error(), "write NAME=VALUE") || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A value that is refused is not looked at again, as what the node would have.
func TestAFaultIsSaidOnce(t *testing.T) {
	for _, flag := range []string{"--cells=-1", "--trace-ratio=2"} {
		_, err := config.Load(config.Sources{Flags: flags(t, flag), Environ: base})
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", flag, err)
		}
	}
}

func TestWhatIsObservedIsChecked(t *testing.T) {
	hooks := filepath.Join(t.TempDir(), "hooks.yml")
	for _, c := range []struct{ config, hooks, says string }{
		{"trace-ratio: 2", "", "not above 0 and at most 1"},
		{"trace-ratio: .nan", "", "simple value"},
		{"trace-ratio: NaN", "", "above 0"},
		{"trace-endpoint: collector:4318", "", "trace-endpoint: "},
		{"trace-headers: [secret]", "", "one has no name"},
		{"metric-tags: [a-b, a_b]", "", "both the label tag_a_b"},
		{"metric-tags: [a, b, c, d, e, f, g, h, i]", "", "8 is the most"},
		{"webhooks: /none", "", "no such file"},
		{"webhooks: " + hooks, "- uri: https://a.example.com\n", "unknown field"},
		{"webhooks: " + hooks, "- url: ftp://a.example.com\n", "https://HOST"},
		{"webhooks: " + hooks, "- url: [\n", "not YAML"},
		{"webhooks: " + hooks, "- url: https://a.example.com\n  kinds: [NONE]\n", "is not known"},
	} {
		if err := os.WriteFile(hooks, []byte(c.hooks), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := config.Load(config.Sources{File: writeFile(t, c.config+"\n"), Environ: base})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s with %q: %v, want %q", c.config, c.hooks, err, c.says)
		}
		if err != nil && strings.Contains(err.Error(), "=secret") {
			t.Errorf("it tells a header: %v", err)
		}
	}
}
