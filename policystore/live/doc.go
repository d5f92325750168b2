// Package live brings every version of a policy to the cells that run under it. The API
// server, and whoever embeds the node, makes one [Reloader] for a store and has each cell
// [Reloader.Follow] its policy.
//
// What a [Target] gets:
//
//   - Every version once, and in order. Of several that come while it is at work it gets the
//     newest. A version that means the same as the one before is brought, too.
//   - One revision at a time. Targets are served side by side, [Options.Parallel] at most, a
//     fourth of them of one tenant, or of one policy that belongs to none.
//   - The same version again, where the addresses of a host name that it permits have
//     changed, or where it failed for a reason that may pass, and not otherwise.
//   - Of a version that its cell's boundary is too weak for ([Bounded]) all that bounds and
//     nothing that permits.
//
// What a target refuses, and what cannot be made of a document for one sandbox, leaves its
// cell with what it has; [Followed.Report] says so, as it says what the layers made of the last
// revision, what takes effect only in a new cell, and whether the cell's backend is weaker than
// the policy wants by now. When a policy is deleted its cells keep what they have. A busy target
// is asked again some times, and then, like one that failed otherwise, every
// [Options.ResolveEvery]; one that is gone is left.
//
// # Names
//
// The node looks up the host names of policies, a guest does not: a rule for a name is one for the
// addresses that it had when the node looked last. That is every [Options.ResolveEvery], for
// all names that any followed policy has; resolvers of Go do not tell how long an answer is
// good for. Where nobody answers, the last answer counts for [Options.ResolveKeep], and then
// the rule gives nothing; the name is looked up less often. A new version is not kept waiting by
// names that were never looked up: it takes effect without them, and again with them. Follow waits
// for them, a little.
//
// Whoever serves a name is not trusted with more than its addresses: package document bounds
// how many count and where they may lead, and each tenant has look-ups of its own.
//
// # Goroutines
//
// A Reloader has one that watches the store, one that keeps time, and one for each target that is at
// work, each policy that is being compiled and each whose names are being looked up. Close
// ends them and waits. All methods may be called by any goroutine, but for Reloader.Close, which
// a target must not call.
package live
