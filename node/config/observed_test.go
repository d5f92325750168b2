package config_test

import (
	"os"
	"path/filepath"
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
