package document

import (
	"regexp"
	"slices"
	"strings"
)

// imports are modules' names, each with its place.
type imports struct {
	names []named
	set   bool
}

type named struct {
	name string
	at   Pos
}

var moduleRE = regexp.MustCompile(`^(\*|[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*)$`)

func (l *imports) decode(r *reporter, _ *key, n *node) {
	l.set = true
	for _, item := range r.words(n, "a module's name") {
		switch {
		case !moduleRE.MatchString(item.text):
			r.at(item.at, "write a name as in Python's import", "%s is not the name of a module", shown(item.text))
		case neverImported(item.text):
			r.at(item.at, "take it out; docs/guest.md says what to use instead", "%s cannot be granted: no guest may name it", item.text)
		default:
			l.names = append(l.names, named{item.text, item.at})
		}
	}
}

func (l *imports) encode() *node {
	if !l.set {
		return nil
	}
	list := sequence()
	for _, m := range l.names {
		list.items = append(list.items, quoted(m.name))
	}
	return list
}

func (l *imports) inherit(parent field) {
	p := parent.(*imports)
	l.names = slices.Concat(p.names, l.names)
	l.set = l.set || p.set
}

// list is each name once, sorted.
func (l *imports) list() []string {
	out := make([]string, len(l.names))
	for i, m := range l.names {
		out[i] = m.name
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// grantsModule tells whether the grant of one name lets a guest name a module: itself, what
// is below it, and its parents on the way.
func grantsModule(grant, module string) bool {
	return grant == "*" || grant == module || strings.HasPrefix(module, grant+".") || strings.HasPrefix(grant, module+".")
}

// unnameable are modules that no guest may name, whatever is granted: those that no code in
// a cell gets, and those that only the standard library may load. The gate below Python has
// the same lists; a test compares them.
var unnameable = []string{
	"_interpreters", "_interpchannels", "_interpqueues", "_ctypes", "_ctypes_test", "_testcapi", "_testlimitedcapi",
	"_testinternalcapi", "_testbuffer", "_testimportmultiple", "_testmultiphase", "_testsinglephase", "_testclinic",
	"_testclinic_limited", "_testexternalinspection", "_remote_debugging", "_xxtestfuzz", "xxsubtype", "xxlimited",
	"xxlimited_35", "faulthandler", "_posixshmem", "readline", "pwd", "grp", "_dbm", "_gdbm",
	"posix", "_signal", "_imp", "marshal", "_thread", "_posixsubprocess", "_frozen_importlib",
	"_frozen_importlib_external", "ctypes", "_multiprocessing", "concurrent.interpreters", "_socket", "_io",
}

func neverImported(module string) bool { return slices.Contains(unnameable, module) }

// alwaysImported are modules that every guest may name.
var alwaysImported = []string{"pyisolate_guest", "builtins", "__future__", "__main__"}
