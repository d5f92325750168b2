package hostile

var nativeFamily = family{
	name:  "native",
	title: "Native code and memory corruption",
	probes: []probe{
		{name: "ctypes", what: "ctypes, by every way to it", alone: true},
		{name: "deep_recursion", what: "recurse in C until the stack ends", alone: true},
		{name: "reentrant_containers", what: "change containers in the middle of C code that walks them", alone: true},
		{name: "released_buffer", what: "use a buffer after it was resized, freed or closed", alone: true},
		{name: "struct_overflow", what: "sizes, offsets and shapes that overflow", alone: true},
		{name: "expat", what: "an XML parser fed by its own handlers", alone: true},
		{name: "sqlite_corruption", what: "a database image that lies, and functions that change it", alone: true},
		{name: "regex_and_codecs", what: "the regular expression machine and codecs at their limits", alone: true},
		{name: "compressors", what: "compressed data that lies about its size", alone: true},
		{name: "ioctl", what: "ioctl calls that write more than their buffer", alone: true},
	},
}
