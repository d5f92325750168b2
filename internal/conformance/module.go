package conformance

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/elfsec"
)

// Verdicts on a module in a cell of threads.
const (
	Loads          = "loads"           // it supports an interpreter with a GIL of its own
	OneInterpreter = "one interpreter" // CPython refuses it there
	Denied         = "denied"          // no cell may import it
	Missing        = "missing"
	Crashes        = "crashes"
	Fails          = "fails" // to import, for reasons of its own
)

// ErrFile says that a file is no extension module.
var ErrFile = errors.New("not an extension module")

// Module is what is known about an extension module.
type Module struct {
	Name string `json:"module"`
	// File is "" for one that is built into libpython.
	File string `json:"file,omitempty"`
	// Cells says whether cells of threads, which have a GIL each, can have it. It is found
	// by an import: the slot that declares it is data which only running code returns.
	Cells    string `json:"cells"`
	Evidence string `json:"evidence"`
	// Init is how the file makes its module: "multi-phase", "single-phase" or "unknown".
	// Only multi-phase modules can declare anything.
	Init string `json:"init,omitempty"`
	// Vouched is whether the operator says that it needs no GIL.
	Vouched bool `json:"vouched_nogil_safe"`
	// Hardening of the file.
	Hardening *elfsec.Report `json:"hardening,omitempty"`
}

// Modules judges extension modules, each by the name or the path of its file; vouched are
// those that the operator vouches for. It tells before each.
func (r *Runner) Modules(ctx context.Context, names, vouched []string, before func(name string)) ([]Module, error) {
	var list []Module
	for _, name := range names {
		before(name)
		m := Module{Name: name}
		if strings.ContainsRune(name, filepath.Separator) {
			if err := m.readFile(name); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrFile, err)
			}
		}
		m.Vouched = slices.Contains(vouched, m.Name)
		result := r.Run(ctx, Probe{Name: m.Name, Backend: cell.SubInterpreter, trial: m.imported})
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if m.Cells == "" {
			return nil, fmt.Errorf("import %s in a cell: %s", m.Name, result.Evidence)
		}
		list = append(list, m)
	}
	return list, nil
}

// readFile takes from an ELF file what it shows.
func (m *Module) readFile(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	m.File = path
	m.Name, _, _ = strings.Cut(filepath.Base(path), ".")
	hardening, err := elfsec.Read(path)
	if err != nil {
		return err
	}
	m.Hardening = &hardening
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	defer func() { _ = f.Close() }()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	has := func(name string) bool {
		return slices.ContainsFunc(symbols, func(s elf.Symbol) bool { return s.Name == name })
	}
	switch {
	case !has("PyInit_" + m.Name):
		return fmt.Errorf("%s has no PyInit_%s: it is not an extension module of that name", path, m.Name)
	case has("PyModuleDef_Init"):
		m.Init = "multi-phase"
	case has("PyModule_Create2"):
		m.Init = "single-phase"
	default:
		m.Init = "unknown"
	}
	return nil
}

// importFile looks in the file's directory first, and minds that a built-in module of the
// same name wins.
const importFile = `import sys
sys.path.insert(0, %q)
%s
if sys.modules[%q].__spec__.origin != %q:
    raise ImportError("another module of that name came: " + sys.modules[%q].__spec__.origin)
`

// imported lets a fresh cell import the module; what becomes of the cell is the answer.
func (m *Module) imported(ctx context.Context, s *scene) (string, error) {
	c, err := s.spawn(ctx, cell.Spec{Imports: []string{"*"}})
	if err != nil {
		return "", err
	}
	text := "import " + m.Name
	if m.File != "" {
		text = fmt.Sprintf(importFile, filepath.Dir(m.File), text, m.Name, m.File, m.Name)
	}
	err = c.Exec(ctx, source(text))
	m.Cells, m.Evidence = judge(err)
	return m.Evidence, nil
}

// judge reads an answer to an import.
func judge(err error) (verdict, evidence string) {
	if err == nil {
		return Loads, "a cell has imported it"
	}
	var guest *cell.Error
	if !errors.As(err, &guest) {
		return "", err.Error()
	}
	switch {
	case guest.Kind == cell.PolicyDenied:
		return Denied, guest.Error()
	case guest.Kind == cell.CellGone:
		return Crashes, guest.Error()
	case guest.Kind != cell.GuestError:
		return "", guest.Error()
	case strings.Contains(guest.Message, oneInterpreter):
		return OneInterpreter, guest.Message
	case guest.Type == "ModuleNotFoundError":
		return Missing, guest.Message
	}
	return Fails, guest.Error()
}

// ExtensionModules lists the extension modules of the Python: those that are built in, and
// the files in its library.
func (r *Runner) ExtensionModules(ctx context.Context) ([]string, error) {
	var names []string
	_, err := r.try(ctx, cell.SubInterpreter, func(ctx context.Context, s *scene) (string, error) {
		c, err := s.exec(ctx, cell.Spec{Imports: []string{"sys"}}, "import sys\npost(sorted(sys.builtin_module_names))")
		if err != nil {
			return "", err
		}
		item, err := c.Recv(ctx)
		if err != nil {
			return "", err
		}
		return "", item.Value.Decode(&names)
	})
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(r.Config.Python.Stdlib, "lib-dynload", "*.so"))
	return append(names, files...), err
}
