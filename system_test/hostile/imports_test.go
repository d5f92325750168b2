package hostile

var importsFamily = family{
	name:  "imports",
	title: "Import machinery",
	probes: []probe{
		{name: "importlib", what: "import_module and __import__ of what is not granted", imports: []string{"importlib"}},
		{name: "builtin_importer", what: "BuiltinImporter makes a module without an import", imports: []string{"types"}},
		{name: "dynamic", what: "load an extension that the guest names", imports: []string{"importlib"}},
		{name: "renamed_spec", what: "a spec whose name is granted and whose file is not", imports: []string{"importlib", "json", "sys"}},
		{name: "sys_modules", what: "poison sys.modules so that the library imports the guest's", imports: []string{"sys", "types", "random"}},
		{name: "meta_path", what: "a finder of the guest's own answers for library code", imports: []string{"sys", "wave", "hostile_module"}},
		{name: "import_from_writable", what: "import a module that the guest wrote", imports: []string{"sys", "evil"}},
		{name: "types_go", what: "a module of the guest's whose function goes while the gate wraps it", alone: true},
		{name: "cache_prefix", what: "have the library write its bytecode where the guest says", imports: []string{"sys", "wave", "colorsys", "cmd"}},
		{name: "deputy", what: "library functions that import what they are told", imports: []string{"pickle", "importlib", "encodings"}},
		{name: "posing", what: "code that says it is a file of the library", imports: []string{"json"}},
		{name: "exec_module", what: "a loader executes a module of the library's that is not granted", imports: []string{"json"}},
		{name: "never", what: "modules that no cell gets"},
	},
}
