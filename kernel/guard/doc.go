// Package guard holds the eBPF programs that judge, in the kernel, what each thread does by
// the policy of the cell it is bound to. Two threads of one process can have different
// policies, and a policy can be changed while its threads run.
//
// [Load] loads and attaches the programs, once for a node. [Guard.NewCell] gives a cell a
// policy, [Cell.Bind] binds a thread to it before its first guest instruction, and
// everything that thread starts inherits the binding or is not started. [Cell.Swap] builds
// the new policy aside and publishes it with one store of one aligned word: each verdict is
// by the old policy or by the new one. [Cell.DenyAll] takes everything away.
//
// # What is judged
//
// Opening, executing and mapping files, making, renaming and removing them, truncating,
// chmod and chown, all by path: the longest rule that is a prefix decides, at the borders
// of names, on the path as the kernel has resolved it (dots and links are gone). Connecting
// and sending by the longest CIDR and by port, IPv4 inside IPv6 as IPv4. Refused whatever
// the policy: hard links, binding and listening, Unix sockets of others, other kinds of
// sockets, signals and tracing beyond the cell, bpf, mounts, user namespaces, io_uring's
// polling thread and foreign credentials, memory that becomes executable. Looking (stat) is
// not judged, but for a cell without a policy; times and extended attributes are not.
//
// Before Linux 6.12 hooks for changing directories cannot be told a path: there all such
// changes are refused, and [Guard.JudgesChanges] says so.
//
// # Fail closed
//
// A binding without a cell, a cell without a policy, a slot without rules and a path that
// cannot be told deny. Links are pinned where [Options.Pin] says: the programs stay when
// the node dies, since its hosts may live a moment longer. The next Load attaches first and
// then removes what an earlier node left; bindings of that node's threads end with it.
//
// # Lifetime
//
// [Guard.Close] detaches and unpins everything: threads that are still bound are free then.
// [Cell.Close] denies everything and gives the cell's number back; it must not be called
// before the cell's threads have ended, or what is left of them gets the next cell's policy.
//
// The package starts no goroutine. A Guard and its Cells are safe for concurrent use.
package guard
