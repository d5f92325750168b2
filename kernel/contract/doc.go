// Package contract compiles assertions about what a cell does, such as
//
//	bytes_sent <= 1MiB
//	connect.port in {443, 8443}
//	if open.write then open.path under "/data"
//
// to eBPF programs that kernel hooks tail-call. The language is in docs/contracts.md.
//
// [Parse] turns text into a [Contract], or says by line and column what is wrong.
// [Contract.Judge] judges an event in Go and tells which assertion does not hold: for
// explanations, and for tests as what the programs are compared with. [Contract.Load]
// makes the program of one hook for one [Target] and loads it; what the kernel's verifier
// refuses comes back as a [RejectedError] with the place in the contract and the
// verifier's log.
//
// # With a hook
//
// bpf/event.h says how a hook hands an [Event] over and when it counts. All that a
// contract reads is in the event, so one program serves every cell with the same contract.
// A contract has a program for each hook; those hooks that it says nothing about
// ([Contract.Concerns]) permit, and need not be loaded. A kernel's program array takes
// programs of one type only, and of one attach point for the LSM: each hook needs its own.
//
// # Fail closed
//
// A program refuses when there is no event, when it is another hook's, when a connection
// has no address and when a path that the contract asks about is none. What a contract
// cannot mean (a condition that is always true, fields that never meet) is an error.
//
// # Bounds
//
// See [MaxSource] and those below it. A contract at every bound loads in some tens of
// milliseconds and no program has loops, so its time is bounded by its length.
//
// The package starts no goroutine. A Contract is immutable and safe for concurrent use.
// Whoever loads a program closes it; one that is in a program array stays until it is
// taken out.
package contract
