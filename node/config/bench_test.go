package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pyisolate/pyisolate/node/config"
)

func BenchmarkLoad(b *testing.B) {
	path := filepath.Join(b.TempDir(), "node.yml")
	if err := os.WriteFile(path, []byte("mode: hardened\ndrain-timeout: 1m\nplain-loopback: true\nlisten: ['http://127.0.0.1:1']\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := config.Load(config.Sources{File: path, Environ: base}); err != nil {
			b.Fatal(err)
		}
	}
}
