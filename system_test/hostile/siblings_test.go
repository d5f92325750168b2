package hostile

import (
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

var siblingsFamily = family{
	name:  "siblings",
	title: "Sub-interpreter siblings",
	probes: []probe{
		{name: "interpreters", what: "make, list and run other interpreters"},
		{name: "immortal_objects", what: "change objects that all interpreters share"},
		{name: "interned", what: "flood and alter what is interned", alone: true},
		{name: "struct_sequences", what: "change static types through a module made anew"},
		{name: "single_phase", what: "load an extension that keeps its state for the process", alone: true},
		{name: "tracemalloc", what: "hook the allocator of the whole process", alone: true},
		{name: "locale", what: "change the locale under the others"},
		{name: "process_state", what: "change the directory, the mask and the environment of the process"},
		{name: "wake_others", what: "signal the threads of other cells"},
		{name: "descriptors_of_host", what: "read and write the descriptors of the host"},
		{
			name: "bell_and_reaper", what: "write to and close what wakes the host",
			limits: cell.Limits{Wall: 2 * time.Second}, alone: true, // its end is not always heard
		},
	},
}
