// Package notify judges, in the node, what a thread opens and changes by path: where the
// kernel loads no LSM programs, it is the layer whose rules can be changed while cells run.
//
// A thread puts on the program of [seccomp.CompileNotify] and hands over its listener;
// [Receive] takes one from a host's socket. [Supervisor.Add] begins to serve it by rules that
// [Compile] made of a policy, and [Watched.Swap] changes them: each call is judged by one
// set of rules or by the other. For calls that open, the supervisor opens the file itself
// and puts the descriptor into the thread's table; the kernel never looks at the thread's
// memory again. A call takes some tens of microseconds longer.
//
// # What is judged
//
// open, creat, truncate, and making, renaming and removing files and directories; by path, as
// [policy.FileRule] says, on the path that the object has once links and dots are gone. Nothing
// is given without a rule. Where globs are about what is in a directory, it is not renamed. What a
// call's globs may cost is bounded, since nobody is charged for the node's time; beyond that the
// call is refused, and told as such. The object that was judged is held, and that object is
// opened, never its name again; what is changed, is changed in the directory that was judged.
//
// Beyond rules: links of /proc that lead to descriptors, roots and programs are never
// followed; devices, pipes, sockets and files of /proc need a rule for just that path; no
// file is made through a dangling link; O_TMPFILE and O_PATH are not supported, and of a
// mode's bits only permissions count. A rename needs writing at both paths, and must not bring
// more access than there was. Files whose names end in " (deleted)" cannot be told from deleted
// ones, and are not opened.
//
// [Compile] looks rules' paths up, and the same policy may be compiled again for the next
// thread. So a thread makes no symbolic links, and what its own rules were looked up by (a
// rule's path, where that leads, the links on the way, and the directories that these are in)
// it neither removes nor renames, nor puts anything in its place. Links that are there already
// it may move elsewhere, if it may write where they are.
//
// Links of both kinds, mknod, bind, chmod, chown, times and extended attributes are refused by the
// program, whoever asks. Looking (stat, access, readlink) and executing are not judged.
//
// # Whose rights
//
// Files are opened with the node's rights, and rules are the only judge: neither owners nor
// modes nor Landlock rules hold the thread. What it makes gets its user, group and umask;
// default ACLs do not count. Reading a thread's memory takes the right to trace it: the node is
// root, or of the same user and the thread dumpable.
//
// Paths mean what they mean to the node. A thread may have a mount namespace of its own, if
// it has the same root and mounts the same: the root is compared, and a directory that
// a path starts from must be at the same path for the node, or the call fails.
//
// # Letting the kernel go on
//
// [Target].Continue names directories (Python's own library) whose files the thread then
// opens itself, reading only, without the time an injected descriptor takes. The thread can
// change the path after it was looked at. So this is safe only under a layer that judges the
// open again, Landlock, and gives the thread all that this layer's rules give, also when a
// policy does not. Whoever names such directories says that there is one.
//
// # Fail closed
//
// Without a supervisor, calls fail with ENOSYS. What cannot be read, resolved or told fails,
// with EACCES where it is not the caller's own mistake. A caller that is gone, or whose number
// another thread has by now, is found out before anything is done in its name.
//
// Listeners come from hosts that may be anybody's: what is no listener is refused without a
// call into it that might wait. This layer confines cells and not their host: a host that
// keeps a copy of its listener can answer its threads itself. By taking a notification that
// the supervisor is about to receive, it can also make one thread of the node wait for each
// of its listeners, until its own end (since Linux 6.11; before, until the node's).
// [Options].MaxListeners bounds that, and MaxPerOwner what one host has of it.
//
// # Lifetime
//
// The program comes before a thread's Landlock rules and its own filter. A ruleset must have
// been opened by then, since looking rules up takes O_PATH.
//
// Each [Watched] has a goroutine, which sleeps in the runtime's poller until its thread calls;
// so calls of one listener are served one after the other. It ends with Close, or when the
// last thread under the filter has ended. A Supervisor and its Watched are safe for
// concurrent use. Linux 5.9 is needed.
package notify
