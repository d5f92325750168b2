package hostile

import (
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

var auditFamily = family{
	name:  "audit",
	title: "Audit and tracing",
	probes: []probe{
		{name: "clear_hooks", what: "clear the audit hooks"},
		{name: "own_hook", what: "a hook of the guest that raises, to hide an event"},
		{name: "event_flood", what: "so many refusals that evidence is lost, then the real one"},
		{name: "false_events", what: "audit events that the guest makes up"},
		{name: "trace_gate", what: "trace and profile the gate itself"},
		{name: "monitoring", what: "change locals and code by sys.monitoring while the library runs", alone: true},
		{name: "locals_of_library", what: "swap a checked argument while a library function runs"},
		{name: "excepthooks", what: "hooks that run while the interpreter reports or ends"},
		{name: "swallow_interrupt", what: "swallow every interrupt for ever", limits: cell.Limits{Wall: 200 * time.Millisecond}, alone: true},
		{name: "path_race", what: "a thread changes the path between check and use", limits: cell.Limits{Children: 2}},
	},
}
