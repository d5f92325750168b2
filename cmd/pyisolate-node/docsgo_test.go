package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// fragmentImports are the packages that a fragment may name without importing them.
var fragmentImports = []string{"context", "errors", "fmt", "log", "os", "time",
	"github.com/pyisolate/pyisolate/cell", "github.com/pyisolate/pyisolate/cell/host",
	"github.com/pyisolate/pyisolate/cell/launch", "github.com/pyisolate/pyisolate/cell/pydist",
	"github.com/pyisolate/pyisolate/policystore", "github.com/pyisolate/pyisolate/policystore/document",
	"github.com/pyisolate/pyisolate/api/client", "github.com/pyisolate/pyisolate/node", "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1", "connectrpc.com/connect"}

// runGo keeps a block that is a file, for the command that runs it, and compiles
// another as the body of a function that has a launcher, a cell and a source.
func runGo(t *testing.T, p *page, b block) {
	t.Helper()
	if p.keep(t, b) {
		return
	}
	needGo(t)
	file := filepath.Join(t.TempDir(), "fragment.go")
	if err := os.WriteFile(file, []byte(fragment(b.text())), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("go", "vet", file)
	c.Dir = repository
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%s:%d: the block does not compile: %v\n%s", b.page, b.line, err, out)
	}
}

func fragment(code string) string {
	head := "package fragment\n\nimport (\n"
	signature := "func _(ctx context.Context, l *launch.Launcher, c cell.Cell, src cell.Source) error {\n"
	for _, path := range fragmentImports {
		name := path[strings.LastIndex(path, "/")+1:]
		if name == "v1" {
			name = "pyisolatev1"
		}
		if regexp.MustCompile(`\b` + name + `\.[A-Z]`).MatchString(signature + code) {
			head += fmt.Sprintf("\t%q\n", path)
		}
	}
	return head + ")\n\n" + signature + code + "\treturn nil\n}\n"
}

// needGo skips where the tests run without the toolchain that built them.
func needGo(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("this block needs the go command, which is not in PATH")
	}
}
