package console

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"path"
	"strings"
	"testing"
)

// largest is what all files may have together, with gzip.
const largest = 350_000

// TestDist holds what is committed to what the build makes: each file is of a known type and
// packed beside itself, and nothing else is there.
func TestDist(t *testing.T) {
	root, err := fs.Sub(dist, "dist")
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		plain, packed := name, ""
		for _, e := range encodings {
			if at, ok := strings.CutSuffix(name, e.extension); ok {
				plain, packed = at, e.name
			}
		}
		if types[path.Ext(plain)] == "" {
			t.Errorf("%s is of no known type", name)
		}
		one := embedded()[plain]
		if one == nil {
			t.Errorf("%s is packed, and not there", plain)
			return nil
		}
		if len(one.forms) != 1+len(encodings) {
			t.Errorf("%s is not packed in all ways", plain)
		}
		if packed == "gzip" {
			total += len(one.forms[packed])
			z, err := gzip.NewReader(bytes.NewReader(one.forms[packed]))
			if err != nil {
				return err
			}
			if text, err := io.ReadAll(z); err != nil || !bytes.Equal(text, one.forms[""]) {
				t.Errorf("%s is packed from something else: run make console (%v)", plain, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if total == 0 || total > largest {
		t.Errorf("%d bytes with gzip, of %d", total, largest)
	}
}
