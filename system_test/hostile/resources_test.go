package hostile

import (
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

// shortWall is for what ends by it.
const shortWall = time.Second

var resourcesFamily = family{
	name:  "resources",
	title: "Resource exhaustion",
	probes: []probe{
		{name: "memory_list", what: "one list that grows for ever", limits: cell.Limits{Memory: 64 << 20}, alone: true},
		{name: "memory_one", what: "one object larger than the limit", limits: cell.Limits{Memory: 64 << 20}, alone: true},
		{name: "memory_string", what: "a string that doubles", limits: cell.Limits{Memory: 64 << 20}, alone: true},
		{name: "memory_int", what: "a number that squares", limits: cell.Limits{Memory: 64 << 20}, alone: true},
		{name: "memory_dict", what: "a table that resizes", limits: cell.Limits{Memory: 64 << 20}, alone: true},
		{name: "memory_mmap", what: "anonymous mappings", limits: cell.Limits{Memory: 64 << 20}, alone: true},
		{name: "memory_sum", what: "threads that ask for more than numbers hold, while another takes memory", limits: cell.Limits{Memory: 64 << 20, Children: 4}, alone: true},
		{name: "mappings", what: "as many mappings as a process may have", limits: cell.Limits{Memory: 64 << 20}, alone: true},
		{name: "memory_pipes", what: "pages in pipes and socket buffers", limits: cell.Limits{Memory: 64 << 20}, alone: true},
		{name: "memory_sqlite", what: "memory that a C library takes for itself", limits: cell.Limits{Memory: 64 << 20}, alone: true},
		{name: "memory_stacks", what: "stacks of threads, which count to no limit", limits: cell.Limits{Memory: 64 << 20, Children: 8}, alone: true},
		{
			name: "memory_caught", what: "catch MemoryError and go on, for ever",
			limits: cell.Limits{Memory: 64 << 20, Wall: shortWall}, alone: true,
		},
		{name: "cpu_bytecode", what: "a loop", limits: cell.Limits{Memory: 64 << 20, CPU: 300 * time.Millisecond}, alone: true},
		{name: "cpu_in_c", what: "a loop in C that nothing interrupts", limits: cell.Limits{Memory: 64 << 20, Wall: shortWall}, alone: true},
		{name: "cpu_regex", what: "a regular expression that explodes", limits: cell.Limits{Memory: 64 << 20, Wall: shortWall}, alone: true},
		{name: "cpu_pow", what: "a power that takes for ever", limits: cell.Limits{Memory: 64 << 20, Wall: shortWall}, alone: true},
		{name: "cpu_sleep", what: "sleep that swallows the interrupt", limits: cell.Limits{Memory: 64 << 20, Wall: shortWall}, alone: true},
		{name: "threads", what: "threads without end", limits: cell.Limits{Memory: 64 << 20, Children: 4}, alone: true},
		{name: "descriptors", what: "descriptors without end", limits: cell.Limits{Memory: 64 << 20}, alone: true},
		{name: "output", what: "posts and logs without end", limits: cell.Limits{Memory: 64 << 20, Output: 1 << 20}, alone: true},
		{name: "posts", what: "posts that nobody receives", limits: cell.Limits{Memory: 64 << 20, Wall: shortWall}, alone: true},
		{name: "message", what: "one message larger than the limit", limits: cell.Limits{Memory: 64 << 20}, alone: true},
		{name: "deep_value", what: "a value so deep that its encoder recurses", limits: cell.Limits{Memory: 64 << 20}, alone: true, ends: "TypeError"},
		{name: "fork_bomb", what: "processes and threads that make more", limits: cell.Limits{Memory: 64 << 20, Children: 8}, alone: true},
		{name: "locks", what: "lock a file of everybody's, so that others wait", limits: cell.Limits{Memory: 64 << 20}, alone: true},
		{name: "requests", what: "requests without end", limits: cell.Limits{Memory: 64 << 20, Wall: shortWall}, alone: true},
	},
}
