package pydist

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The constants that repeat what the module knows must change with it.
func TestConstantsMatchModule(t *testing.T) {
	path, version, _ := strings.Cut(embeddedModule, "@")
	list := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}} {{.Dir}}", path)
	out, err := list.Output()
	if err != nil {
		t.Skipf("needs the go command and the module's sources: %v", err)
	}
	inUse, dir, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if inUse != version {
		t.Errorf("go.mod has %s, embeddedModule says %s", inUse, version)
	}
	if !strings.Contains(version, EmbeddedVersion) {
		t.Errorf("module version %s is not for python %s", version, EmbeddedVersion)
	}
	if got := listedBytes(t, filepath.Join(dir, "python/internal/data", runtime.GOOS+"-"+runtime.GOARCH, "files.json")); got != unpackedBytes {
		t.Errorf("the module unpacks %d bytes, unpackedBytes is %d", got, unpackedBytes)
	}
}

// listedBytes adds up a module file list as it is unpacked: links are copies.
func listedBytes(t *testing.T, path string) (total int64) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	type file struct {
		Name, Symlink string
		Size          int64
	}
	var list struct{ Files []file }
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	byName := map[string]file{}
	for _, f := range list.Files {
		byName[f.Name] = f
	}
	for _, f := range list.Files {
		for f.Symlink != "" {
			f = byName[filepath.Join(filepath.Dir(f.Name), f.Symlink)]
		}
		total += f.Size
	}
	return total
}

// A binary must not carry the Pythons of other systems.
func TestOnlyThisPlatformIsEmbedded(t *testing.T) {
	path, _, _ := strings.Cut(embeddedModule, "@")
	list := exec.CommandContext(t.Context(), "go", "list", "-f", "{{join .EmbedFiles \"\\n\"}}", path+"/python/internal/data")
	out, err := list.Output()
	if err != nil {
		t.Skipf("needs the go command and the module's sources: %v", err)
	}
	files := strings.Fields(string(out))
	if len(files) < 500 {
		t.Fatalf("only %d embedded files listed", len(files))
	}
	for _, f := range files {
		if !strings.HasPrefix(f, runtime.GOOS+"-"+runtime.GOARCH+"/") {
			t.Errorf("%s is embedded in a %s/%s binary", f, runtime.GOOS, runtime.GOARCH)
		}
	}
}
