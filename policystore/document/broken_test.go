package document_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyisolate/pyisolate/policystore/document"
)

var update = flag.Bool("update", false, "write the golden files")

// check is what `policy check` does.
func check(file string, text []byte) error {
	d, err := document.Parse(file, text)
	if err != nil {
		return err
	}
	return d.Check(document.Options{})
}

// Every broken document is refused, in the words of its golden file.
func TestBroken(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.yml")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d broken documents, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yml")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			err = check(name+".yml", text)
			var problems document.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("taken: %v", err)
			}
			golden := strings.TrimSuffix(file, ".yml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(problems.Text()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), problems.Text()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
