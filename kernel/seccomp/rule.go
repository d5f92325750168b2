package seccomp

import "fmt"

// Backend is how the cell runs, named as in package cell.
type Backend string

// The backends.
const (
	SubInterpreter Backend = "subinterpreter"
	Process        Backend = "process"
)

// Backends are all.
var Backends = []Backend{SubInterpreter, Process}

// Grant is a set of what a policy gives beyond the least that Python needs.
type Grant uint8

// The grants.
const (
	// Threads: the cell may start threads. A process cell needs it for the thread that
	// watches it.
	Threads Grant = 1 << iota
	// Network: internet sockets. Which addresses they reach is for another layer.
	Network
	// Write: making, renaming and removing files. Where, is for another layer; without
	// one that judges paths it must not be given.
	Write
)

// AllGrants is every grant.
const AllGrants = Threads | Network | Write

var grantNames = []struct {
	grant Grant
	name  string
}{{Threads, "threads"}, {Network, "network"}, {Write, "write"}}

// rule is a row of the table.
type rule struct {
	// names of the calls, separated by spaces.
	names string
	// only is the backend it is for; "" is both.
	only Backend
	// needs are the grants without which the calls are refused.
	needs Grant
	// unless is the grant with which the row is left out.
	unless Grant
	// when lists the arguments that are let through, one of them sufficing; nil is any.
	when []clause
	// otherwise is the answer where no clause fits; zero is Refused.
	otherwise Action
	// never makes the calls fatal and fails makes them fail; both exclude all above.
	never bool
	fails Action
	// why is for readers of the table and of its golden files.
	why string
}

// clause holds when all its tests do.
type clause []test

// test holds when the argument, masked, is one of the values.
type test struct {
	arg  int  // 0 to 5
	high bool // the upper 32 bits of the argument instead of the lower
	mask uint32
	in   []uint32
	// own is filled in by who installs the program, instead of in.
	own What
}

// What is a number that only the installing thread knows.
type What uint16

// The numbers.
const (
	OwnProcess What = iota + 1
	OwnThread
)

// Most arguments are int: the kernel looks at the lower half only, and so do the tests.

func is(arg int, values ...uint32) test { return test{arg: arg, mask: ^uint32(0), in: values} }

// clear holds when none of the bits is set, all when all are.
func clear(arg int, bits uint32) test { return test{arg: arg, mask: bits, in: []uint32{0}} }
func all(arg int, bits uint32) test   { return test{arg: arg, mask: bits, in: []uint32{bits}} }

func own(arg int, what What) test { return test{arg: arg, mask: ^uint32(0), own: what} }

// null holds for a pointer that is nil.
func null(arg int) clause {
	return clause{is(arg, 0), test{arg: arg, high: true, mask: ^uint32(0), in: []uint32{0}}}
}

func (r rule) applies(b Backend) bool { return r.only == "" || r.only == b }

// decision is what becomes of one call: action, or where clauses is not nil, Allow if
// one of them holds and action if none does.
type decision struct {
	action  Action
	clauses []clause
}

func (r rule) decide(granted Grant) decision {
	switch {
	case r.never:
		return decision{action: KillProcess}
	case r.fails != 0:
		return decision{action: r.fails}
	case r.needs&^granted != 0:
		return decision{action: Refused}
	case r.when == nil:
		return decision{action: Allow}
	case r.otherwise != 0:
		return decision{r.otherwise, r.when}
	default:
		return decision{Refused, r.when}
	}
}

// decisions are those of all calls of an architecture that are not simply refused.
func decisions(o Options) (map[int]decision, error) {
	of := map[int]decision{}
	by := map[int]string{}
	for _, r := range table {
		if !r.applies(o.Backend) {
			continue
		}
		for name := range fields(r.names) {
			if _, known := numbers[name]; !known {
				return nil, fmt.Errorf("seccomp: the table has a call %q that no architecture has", name)
			}
			n, ok := o.Arch.Number(name)
			if !ok {
				continue
			}
			if other, twice := by[n]; twice {
				return nil, fmt.Errorf("seccomp: the table has %s twice, also as %s", name, other)
			}
			by[n] = name
			of[n] = r.decide(o.Grants)
		}
	}
	return of, nil
}
