package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/cell/pydist"
)

// repository is the root of the source tree, seen from this package's tests.
const repository = "../.."

// block is one fenced block of a page. CONTRIBUTING.md says what each language
// means and how a block states what it does.
type block struct {
	page, language string
	line           int // of the opening fence, from 1
	lines          []string
}

// text is the block's code, its lines ended.
func (b block) text() string { return strings.Join(b.lines, "\n") + "\n" }

// runners run and check the blocks of the languages that can be run.
var runners = map[string]func(*testing.T, *page, block){
	"console": runConsole,
	"go":      runGo,
	"python":  runPython,
	"sh":      runShell,
	"yaml":    runPolicy,
}

// notRun are languages of blocks that are shown only.
var notRun = []string{"text"}

// page is a document whose blocks are run in order, in one directory.
type page struct {
	name   string
	dir    string          // where its commands run; examples/ and policies/ are there
	python pydist.Dist     // unpacked before, so that no command reports its progress
	unused map[string]bool // files its blocks made and no command has named yet

	launcher *launch.Launcher // of the page's Python blocks; nil before the first
	ends     []func()         // of what its commands started in the background
}

// Every block of every page does what the page says it does.
func TestDocumentation(t *testing.T) {
	isToldOnce(t)
	dist, err := pydist.Resolve(context.Background(), pydist.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range documents(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &page{name: name, dir: pageDirectory(t), python: dist, unused: map[string]bool{}}
			t.Cleanup(func() {
				if p.launcher != nil {
					closeLauncher(p.launcher)
				}
				for _, end := range p.ends {
					end()
				}
			})
			blocks, err := parseBlocks(name, readFile(t, filepath.Join(repository, name)))
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range blocks {
				run, known := runners[b.language]
				if !known && !slices.Contains(notRun, b.language) {
					t.Errorf("%s:%d: no test runs a block of language %q; mark it text if it cannot be run", name, b.line, b.language)
				}
				if known {
					t.Run(fmt.Sprintf("line %d", b.line), func(t *testing.T) { run(t, p, b) })
				}
			}
			for file := range p.unused {
				t.Errorf("%s: no command uses the file %s that a block shows", name, file)
			}
		})
	}
}

// documents lists the pages, relative to the repository. Decisions are records of
// their time and the changelog is history: their code is not kept running.
func documents(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		found, err := filepath.Glob(filepath.Join(repository, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			name, err := filepath.Rel(repository, path)
			if err != nil {
				t.Fatal(err)
			}
			if name != "CHANGELOG.md" {
				names = append(names, name)
			}
		}
	}
	if len(names) < 8 {
		t.Fatalf("only %d pages found", len(names))
	}
	return names
}

func pageDirectory(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"examples", "policies"} {
		if err := os.Symlink(filepath.Join(root, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var fileLine = regexp.MustCompile(`^(?:#|//) file: (\S+)$`)

// keep writes a block whose first line names a file, and tells whether it did. The
// commands that follow on the page must use the file.
func (p *page) keep(t *testing.T, b block) bool {
	t.Helper()
	m := fileLine.FindStringSubmatch(b.lines[0])
	if m == nil {
		return false
	}
	if !filepath.IsLocal(m[1]) {
		t.Fatalf("%s:%d: file %s is outside the page's directory", b.page, b.line, m[1])
	}
	if err := os.WriteFile(filepath.Join(p.dir, m[1]), []byte(b.text()), 0o600); err != nil {
		t.Fatal(err)
	}
	p.unused[m[1]] = true
	return true
}

// used notes which kept files a command names.
func (p *page) used(command string) {
	for file := range p.unused {
		if slices.Contains(strings.Fields(command), file) {
			delete(p.unused, file)
		}
	}
}
