// Package guard holds the eBPF programs that judge, in the kernel, what each thread does by
// the policy of the cell it is bound to, and count what cells use. Two threads of one
// process can have different policies, and a policy can be changed while its threads run.
//
// [Load] loads and attaches the programs, once for a node. [Guard.Build] puts a policy into
// the kernel, aside; [Guard.NewCellOf] gives it to a new cell and [Cell.Publish] to one
// that runs, with one store of one aligned word: each verdict is by the old policy or by
// the new one. [Cell.Bind] binds a thread before its first guest instruction; everything
// that thread starts inherits the binding. [Cell.DenyAll] takes everything away.
//
// # Two kinds
//
// [LSM] programs judge at the kernel's security hooks: opening, executing and mapping
// files, making, renaming and removing them, truncating, chmod and chown, all by path: the
// longest rule that is a prefix decides, at the borders of names, on the path as the kernel
// has resolved it (dots and links are gone). Of rules with globs they hold what
// [policy.Prefixes] makes of them. Opening to empty (O_TRUNC) is writing. A path
// that a rule is for, a link that it was looked up by, and a directory between one of these
// and a rule above it, is not removed, renamed or replaced, and nothing is renamed to where
// the cell may do more with it.
// Connecting and sending by the longest CIDR and by port, IPv4 inside IPv6 as IPv4; never to
// 0.0.0.0 or ::, for which the kernel takes one of the machine's own when it has asked.
//
// Refused whatever the policy: hard and symbolic links, binding and listening, Unix sockets of
// others, sockets of IPv4 and IPv6 that are neither TCP nor UDP, other kinds of sockets,
// socket options that choose a route or a device, messages of IPv4 and IPv6 with options of
// their own, signals and tracing beyond the cell, bpf, mounts, user namespaces, io_uring's
// polling thread and foreign credentials, memory that becomes executable. Looking (stat) is
// not judged, but for a cell without a policy; times and extended attributes are not. Before
// Linux 6.12 hooks for changing directories cannot be told a path: there all such changes are
// refused.
//
// [Cgroup] programs are for kernels that refuse the former. They judge, by the same rules
// and code, connecting, sending, binding and making sockets of IPv4 and IPv6, of the
// processes in [Options.Cgroup]. Nothing else: files are Landlock's there; Unix and other
// sockets, listening without binding and system calls are seccomp's. Inheritance cannot be
// refused, so that a child that cannot be bound is killed before it runs (or, before Linux
// 6.13, its parent is, and nobody in the group who is not bound may connect: see
// [Guard.Orphans]). Where the kernel lets programs of control groups read no task storage
// (6.12 does not, 6.18 does) bindings are found by thread number, for 65,536 threads; that is
// the first PID namespace's, and Load fails in another.
//
// With a control group, of either kind, packets of cells' sockets are dropped that have
// options of IPv4, or a routing header or options of IPv6: they go to others first than
// those whose addresses were judged. The packets of more than 64 KiB that a device set up
// for them (BIG TCP) takes of IPv6 have such options, too.
//
// [Guard.Judges] tells which duties are held.
//
// # What is counted
//
// [Cell.Usage] has opens, connections, children and refusals. With a control group there
// are bytes, charged to the cell that made the socket, whoever sends and in whatever
// context, and processor time, charged at each tick and switch. Quotas of the policy hold
// at the byte and at the connection: what would pass one is refused and not charged. Of two
// threads that meet at the border both may be refused. A cell that has used its
// policy.Quotas.CPUTotal may do nothing more; killing is its host's business.
//
// [Guard.ReadEvents] tells of refusals, quotas and contracts that do not hold. A cell that
// floods loses its own events, and they are counted. An event may come when its cell is no
// more and its number another's: [Event.Life] tells them apart.
//
// # Contracts
//
// [Contracts] are programs that judge after the policy has permitted. They are loaded for a
// [ContractPoint] and built with a policy. An event that no point of this guard has cannot
// be judged by a contract here: refuse a contract that concerns it.
//
// # Fail closed
//
// A binding without a cell, a cell without a policy, a slot without rules, a path that
// cannot be told and a contract that is not there deny. Maps and links are pinned where
// [Options.Pin] says: the programs stay when the node dies, since its hosts may live a
// moment longer. The next Load attaches first and then takes the places of an earlier
// node's pins; bindings of that node's threads end with it. Kernels before 6.2 answer a
// question about a thread's binding with none while another one is being answered on the
// same processor: with full preemption (preempt=full) a program may then take a bound thread
// for a free one.
//
// # Costs
//
// Publishing is a tenth of a microsecond, a cell with built rules the same, binding ten.
// Building takes some microseconds where the policy is there already and milliseconds
// where it is new, for the kernel waits until all programs have ended that ran. There is room for 4,096 cells and 1,024 different policies.
//
// # Lifetime
//
// [Guard.Close] detaches and unpins everything: threads that are still bound are free then.
// [Cell.Close] denies everything and gives the cell's number back. What is left of its threads
// and sockets is of no cell any more, also when the number is used again, and is denied all.
//
// A bound thread may not speak to eBPF, where LSM programs judge: Build, Bind and all else
// of this package that asks the kernel is for other threads. Publish, DenyAll and Usage ask
// nothing.
//
// The package's goroutines end with the call that started them. A Guard and its Cells are
// safe for concurrent use.
package guard
