package conformance

import (
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

// Outcome is how a probe ended.
type Outcome string

// The outcomes. They are part of the command's JSON; changing one breaks scripts.
const (
	Pass        Outcome = "pass"
	Fail        Outcome = "fail"
	Unavailable Outcome = "unavailable" // this machine has not what it takes
)

// Result is what came of a probe.
type Result struct {
	Probe string `json:"probe"`
	// Backend is "" for a probe without cells.
	Backend  cell.Backend  `json:"backend,omitempty"`
	Outcome  Outcome       `json:"outcome"`
	Evidence string        `json:"evidence"`
	Took     time.Duration `json:"took_ns"`
}

// unavailableError is the failure of a probe that cannot be tried here.
type unavailableError struct{ why string }

func (e unavailableError) Error() string { return e.why }

func unavailable(format string, args ...any) error {
	return unavailableError{fmt.Sprintf(format, args...)}
}
