// Package netlab is a network of machines for tests: each machine is a network namespace, and
// every packet between two of them passes through this program, which can drop, delay, lose and
// repeat it. So links can be cut, one way too, and made bad, on any kernel that has namespaces and
// TUN devices, without a firewall, a traffic shaper or tools of either.
//
// [New] makes the machines, [Host.Start] starts programs on them, and [Lab.Set] says how the link
// from one to another is from now on. [Probe] tells why there can be no such network here: it needs
// CAP_SYS_ADMIN and CAP_NET_ADMIN.
//
// A packet that is cut off is gone silently, as on a cable: nobody is told. What a link does by
// chance is decided by the seed of the Lab and the order in which packets come.
//
// What it costs: a packet takes some ten microseconds of this program's processor on its way, so
// that speed is not measured on it.
//
// Goroutines: one for each machine, which is locked to a thread in its namespace, one that reads its
// packets, and one for each link. [Lab.Close] ends them and the namespaces, but for those that
// processes still are in. All methods are safe for concurrent use.
package netlab
