package systemtest

import (
	"errors"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// What is judged of an import is what is imported: a name that is another where it is looked up, and a level that is
// another where it is counted, get no module that Python has loaded for itself.
func TestImportsByNamesThatAreOthers(t *testing.T) {
	const name = "class Name(str):\n def __hash__(self): return hash('os')\n def __eq__(self, other): return other == 'os'\n"
	const level = "class Level:\n def __bool__(self): return False\n def __index__(self): return 1\n"
	for what, program := range map[string]string{
		"name":                name + "post(repr(__import__(Name('math'))))",
		"name by its keyword": name + "post(repr(__import__(name=Name('math'))))",
		"name without a text": name + "post(repr(__import__(Name('\\ud800'))))",
		"name for importlib":  name + "import importlib\npost(repr(importlib._bootstrap._find_and_load(Name('math'), None)))",
		"level":               level + "post(repr(__import__('path', {'__package__': 'os', '__name__': 'os'}, None, ['join'], Level())))",
	} {
		everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
			t.Run(what, func(t *testing.T) {
				c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"math", "path", "importlib"}})
				if err := c.Exec(soon(t), source("import math\n%s", program)); !errors.Is(err, cell.PolicyDenied) {
					t.Errorf("it ends with %v\n%s", err, traceback(err))
				}
			})
		})
	}
}
