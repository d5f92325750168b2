package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pyisolate/pyisolate/cell"
)

// singlePhase are extension modules of the standard library that were never made for
// several interpreters. A build need not have each.
var singlePhase = []string{"_curses", "_curses_panel", "_tkinter", "readline"}

// oneInterpreter is what CPython says of such a module.
const oneInterpreter = "does not support loading in subinterpreters"

func trySinglePhase(ctx context.Context, s *scene) (string, error) {
	_, evidence, err := importSinglePhase(ctx, s)
	return evidence, err
}

func trySinglePhaseHost(ctx context.Context, s *scene) (string, error) {
	other, err := s.spawn(ctx, cell.Spec{})
	if err != nil {
		return "", err
	}
	c, _, err := importSinglePhase(ctx, s)
	if err != nil {
		return "", err
	}
	r, err := c.Inspect(ctx)
	return fmt.Sprintf("the cell and another one of host process %d answer after it", r.HostPID),
		errors.Join(err, answers(ctx, c), answers(ctx, other))
}

// importSinglePhase lets a cell import the first of the modules that there is.
func importSinglePhase(ctx context.Context, s *scene) (cell.Cell, string, error) {
	c, err := s.spawn(ctx, cell.Spec{Imports: []string{"*"}})
	if err != nil {
		return nil, "", err
	}
	for _, name := range singlePhase {
		err := c.Exec(ctx, source("import "+name))
		var guest *cell.Error
		switch {
		case err == nil:
			return nil, "", fmt.Errorf("the cell has imported %s, which knows one interpreter only", name)
		case errors.As(err, &guest) && guest.Type == "ImportError" && strings.Contains(guest.Message, oneInterpreter):
			return c, "import " + name + ": " + guest.Message, nil
		case cell.KindOf(err) != cell.GuestError && cell.KindOf(err) != cell.PolicyDenied:
			return nil, "", err
		}
	}
	return nil, "", fmt.Errorf("this Python has none of %s that a cell may try", strings.Join(singlePhase, ", "))
}

func tryForeign(ctx context.Context, s *scene) (string, error) {
	c, err := s.spawn(ctx, cell.Spec{Imports: []string{"*"}})
	if err != nil {
		return "", err
	}
	return refusal(c.Exec(ctx, source("import ctypes\nctypes.CDLL(None)")), cell.PolicyDenied)
}
