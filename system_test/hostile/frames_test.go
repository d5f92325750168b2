package hostile

var framesFamily = family{
	name:  "frames",
	title: "Frames, tracebacks, collector",
	probes: []probe{
		{name: "frame_globals", what: "walk the frames behind an exception into the library", imports: []string{"json"}},
		{name: "generator_frame", what: "gi_frame and f_back lead out of the guest"},
		{name: "getframe", what: "sys._getframe and all its relations"},
		{name: "frame_lineno", what: "jump in a frame from a trace function", alone: true},
		{name: "frame_clear", what: "clear frames that run, are suspended or unwinding", alone: true},
		{name: "gc_objects", what: "the collector lists every object there is"},
		{name: "gc_real_functions", what: "find the functions behind the gate with the collector"},
		{name: "half_built", what: "use a tuple that the collector shows before it is filled", alone: true},
		{name: "collector_reentry", what: "run code in the middle of a collection", alone: true},
		{name: "traceback_text", what: "make a traceback print the lines of a secret file"},
		{name: "syntax_error_text", what: "make a SyntaxError quote a line of a secret file", ends: "SyntaxError"},
	},
}
