// Package landlock makes the part of a policy that Landlock can hold: which files a
// thread may read, write and execute, which TCP ports it may connect to, and that it
// reaches neither abstract sockets nor processes outside.
//
// [Compile] turns a policy into a [Spec], plain data, for a version of the kernel's
// interface (its ABI), and lists as [Gap] what of the policy this layer cannot hold:
// Landlock adds rights up along a path, so it cannot take away below what it gives above;
// it knows neither globs nor addresses, but ports; it never judges stat, chmod, chown or UDP. Whoever
// compiles decides whether another layer covers a gap. Devices, pipes, sockets in the file
// system and symbolic links cannot be made whatever the policy.
//
// # On which thread, and when
//
// Restrictions belong to the thread that takes them on and to what it starts afterwards.
// They can be tightened and never loosened. [Spec.Restrict] is for the calling thread,
// which must be locked to its goroutine and end with it; there is no way here to restrict
// a whole process, which a host of many cells must not do. It comes after the descriptors
// are in order, since what is open stays open, and before the seccomp filter.
//
// # From C
//
// [Spec.MarshalBinary] gives a cell in C what it needs, in the machine's byte order and
// without anything to allocate:
//
//	struct {
//	  uint32_t magic;             // 0x314b4c4c, "LLK1"
//	  uint16_t paths, ports;      // how many of each follow
//	  uint64_t fs, net, scoped;   // struct landlock_ruleset_attr
//	  struct { uint64_t access, port; } port[ports];       // struct landlock_net_port_attr
//	  struct { uint64_t access; uint32_t size; char path[size]; } path[paths];
//	}
//
// A path ends in at least one zero and is padded with zeros to a size that keeps the next
// entry aligned to eight bytes; size counts them. For each the cell does
//
//	int fd = open(path, O_PATH | O_CLOEXEC);
//	syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH,
//	        &(struct landlock_path_beneath_attr){access, fd}, 0);
//
// and in the end prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) and
// landlock_restrict_self(set, 0). Any error must end the cell. The filters of package
// seccomp allow these calls, so it can be done at the claim, by a cell that is confined
// already. Where descriptors can be passed, [Spec.Open] gives one ruleset for many cells,
// and landlock_restrict_self is all that they call.
//
// The package starts no goroutine. A Spec is plain data; a [Ruleset] is safe for
// concurrent use until it is closed.
package landlock
