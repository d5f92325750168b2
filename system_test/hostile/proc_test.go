package hostile

var procFamily = family{
	name:  "proc",
	title: "/proc",
	probes: []probe{
		{name: "memory", what: "read and write memory through /proc"},
		{name: "environment", what: "environments and command lines of others"},
		{name: "kernel_settings", what: "settings that run programs or loosen the kernel"},
		{name: "links", what: "read links in /proc to learn of other cells"},
	},
}
