package hostile

import "github.com/pyisolate/pyisolate/cell"

var codeFamily = family{
	name:  "code",
	title: "Code objects and bytecode",
	probes: []probe{
		{name: "code_type", what: "make a code object from bytes", alone: true},
		{name: "code_replace", what: "replace the bytes of a code object by garbage", alone: true},
		{name: "coroutine_deputy", what: "types.coroutine calls a replace of the guest's choice", alone: true},
		{name: "coroutine_setter", what: "types.coroutine sets the code of something that makes code when it is set", alone: true},
		{name: "flag_deputy", what: "inspect reads a flag of something that makes code when it is read", alone: true},
		{name: "unmarshal", what: "importlib unmarshals bytes that the guest gives it", alone: true},
		{name: "loader_bytes", what: "a loader of the guest's gives its own compiled file to importlib", alone: true},
		{name: "frozen_data", what: "_imp.get_frozen_object unmarshals data", alone: true},
		{name: "marshal_pickle", what: "marshal and pickle make code", alone: true},
		{name: "marshal_load", what: "marshal.load reads a file of the guest's, from library code and from no code at all", limits: cell.Limits{Children: 4}, alone: true},
		{name: "function_code", what: "swap code, closures and defaults under a running function", alone: true},
		{name: "deep_syntax", what: "a source so deep that the compiler overflows its stack", alone: true},
		{name: "ast_garbage", what: "compile a tree that no parser makes", alone: true},
	},
}
