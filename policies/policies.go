package policies

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

//go:generate go test . -run TestGenerated -update

//go:embed *.yml
var files embed.FS

const extension = ".yml"

// Names are the templates', sorted, such as "web_scraper".
func Names() []string {
	names, err := fs.Glob(files, "*"+extension)
	if err != nil {
		return nil // the pattern is valid
	}
	for i, name := range names {
		names[i] = strings.TrimSuffix(name, extension)
	}
	slices.Sort(names)
	return names
}

// Template is the text of one.
func Template(name string) ([]byte, error) {
	text, err := files.ReadFile(name + extension)
	if err != nil {
		return nil, fmt.Errorf("there is no template %q; there are %s", name, strings.Join(Names(), ", "))
	}
	return text, nil
}
