// Package policy is what a cell may do, as plain data: files by path or glob, networks by
// CIDR and port, threads, and quotas. Who writes policies (the policy store), and what
// they look like on paper, is not its business; who enforces them is package stack's.
//
// A policy is a list of permissions. What it does not name is denied, and the zero Policy
// denies everything that a kernel layer judges. It has no user, time or version: it is
// resolved, for one cell.
//
// Only [LookUp] looks at the machine, for those who compile.
//
// [Policy.Validate] must pass before a policy is compiled; compilers may rely on it. A
// Policy is not changed once it is compiled.
package policy
