package policy

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Paths lead to where the standard library finds that they do, and links are named by where they
// are. What is not there is below where its parent leads.
func TestLookUp(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(root+"/real/deep", 0o755))
	must(os.WriteFile(root+"/file", nil, 0o644))
	for name, to := range map[string]string{"way": "real", "real/hop": "../real/deep", "away": root + "/real", "dots": "real/../real/./deep/",
		"nodir": "file/../real", "slash": "file/", "above": "/../../", "loop": "loop", "dangling": "real/none", "up": "none/../real"} {
		must(os.Symlink(to, root+"/"+name))
	}
	for name, c := range map[string]struct {
		links []string
		to    string // "" fails; below root
	}{
		"real/deep": {nil, "real/deep"}, "way": {[]string{"way"}, "real"}, "way/hop": {[]string{"way", "real/hop"}, "real/deep"},
		"away/deep": {[]string{"away"}, "real/deep"}, "dots": {[]string{"dots"}, "real/deep"}, "file": {nil, "file"},
		"none": {nil, "none"}, "none/x/y": {nil, "none/x/y"}, "way/none": {[]string{"way"}, "real/none"}, "way/hop/new/x": {[]string{"way", "real/hop"}, "real/deep/new/x"},
		"dangling": {[]string{"dangling"}, "real/none"}, "dangling/x": {[]string{"dangling"}, "real/none/x"}, "up": {[]string{"up"}, "up"},
		"file/x": {nil, ""}, "nodir": {[]string{"nodir"}, ""}, "slash": {[]string{"slash"}, ""}, "loop": {slices.Repeat([]string{"loop"}, maxLinks), ""},
	} {
		for i := range c.links {
			c.links[i] = root + "/" + c.links[i]
		}
		want := ""
		if c.to != "" {
			want = root + "/" + c.to
		}
		got, links, err := LookUp(root + "/" + name)
		if got != want || (err == nil) != (want != "") || !slices.Equal(links, c.links) {
			t.Errorf("%s: %q over %q, %v; want %q over %q", name, got, links, err, want, c.links)
		}
		library, missing := filepath.EvalSymlinks(root + "/" + name)
		if missing == nil && library != got || (missing != nil && !errors.Is(missing, os.ErrNotExist) && err == nil) {
			t.Errorf("%s: %q, %v; the library has %q, %v", name, got, err, library, missing)
		}
	}
	for _, path := range []string{"/", root + "/above"} {
		if got, _, err := LookUp(path); got != "/" || err != nil {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	if got, _, err := LookUp("/" + strings.Repeat("none-such/", 20) + "x"); err != nil || !strings.HasSuffix(got, "none-such/x") {
		t.Errorf("nothing of it is there: %q, %v", got, err)
	}
}
