package hostile

import "github.com/pyisolate/pyisolate/cell"

var teardownFamily = family{
	name:  "teardown",
	title: "Teardown",
	probes: []probe{
		{name: "del", what: "__del__ while the interpreter ends"},
		{name: "atexit", what: "atexit functions, when the gate may be gone"},
		{name: "atexit_goes", what: "the module that the end asks goes while it is asked", alone: true},
		{name: "exec_at_exit", what: "a process or a thread started at the very end"},
		{name: "never_ends", what: "__del__ and atexit that never return", alone: true},
		{name: "threads_at_end", what: "threads that go on when the cell ends", limits: cell.Limits{Children: 4}, alone: true},
		{name: "resurrection", what: "objects that come back while modules are taken apart", alone: true},
		{name: "generator_close", what: "generators and coroutines that go on when they are closed"},
		{name: "broken_modules", what: "break sys.modules and the streams before the end", alone: true},
		{name: "weak_callbacks", what: "weak reference callbacks that run last"},
	},
}
