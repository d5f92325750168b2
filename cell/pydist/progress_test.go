package pydist

import (
	"os"
	"path/filepath"
	"testing"
)

func TestProgressOutput(t *testing.T) {
	for name, c := range map[string]struct {
		make func(*os.File) func(done, total int64)
		want string
	}{
		"no terminal": {TerminalProgress, "unpacking python 3.14.6 (148 MB, once)\n"},
		"terminal": {liveProgress, "\r\x1b[Kunpacking python 3.14.6: 0 of 148 MB" +
			"\r\x1b[Kunpacking python 3.14.6: 50 of 148 MB\r\x1b[K"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := os.Create(filepath.Join(t.TempDir(), "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close() //nolint:errcheck // read back below
			report := c.make(f)
			for _, done := range []int64{0, 50e6, 148e6} {
				report(done, 148e6)
			}
			got, err := os.ReadFile(f.Name())
			if err != nil || string(got) != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}
