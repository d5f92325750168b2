package hostile

var descriptorsFamily = family{
	name:  "descriptors",
	title: "Inherited descriptors, SCM_RIGHTS",
	probes: []probe{
		{name: "inherited", what: "read, map and pass on every descriptor there is"},
		{name: "rights", what: "send and receive descriptors over a socket pair", alone: true},
		{name: "directory_escape", what: "climb out of the library by its own descriptors"},
		{name: "ring", what: "write garbage to the ring and its bell", alone: true},
	},
}
