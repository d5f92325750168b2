package hostile

var objectsFamily = family{
	name:  "objects",
	title: "Object graph",
	probes: []probe{
		{name: "subclasses", what: "walk object.__subclasses__() to a class whose globals have os", imports: []string{"json"}},
		{name: "borrowed_globals", what: "os through the globals of a library function", imports: []string{"random"}},
		{name: "loader_get_data", what: "a loader of the library reads any file", imports: []string{"json"}},
		{name: "loader_set_data", what: "a loader of the library writes any file", imports: []string{"json"}},
		{name: "file_type", what: "the class of an open file, found among subclasses", imports: []string{"io"}},
		{name: "reduce", what: "pickle gadgets that call open and system", imports: []string{"pickle"}},
		{name: "mro_rebinding", what: "rebind __class__ and __bases__ to pass for what is trusted"},
		{name: "path_twice", what: "a path that says another name the second time"},
		{name: "guest_classes", what: "replace the error classes that refusals are made of", imports: []string{"json"}},
		{name: "error_class_goes", what: "a replaced error class goes while an error is made of it", alone: true},
		{name: "builtins_replaced", what: "replace the builtins that the loop itself uses"},
		{name: "type_flags", what: "change an immutable type of all interpreters"},
		{name: "proxy_leak", what: "the real dict of a builtin type, leaked by a comparison"},
	},
}
