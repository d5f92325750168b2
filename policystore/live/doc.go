// Package live brings every version of a policy to the cells that run under it. The API
// server, and whoever embeds the node, makes one [Reloader] for a store and has each cell
// [Reloader.Follow] its policy.
//
// What a [Target] gets:
//
//   - Every version once, and in order. Of several that come while it is at work it gets the
//     newest. A version that means the same as the one before is brought, too.
//   - One revision at a time. Targets are served side by side, [Options.Parallel] at most.
//   - The same version again, where the addresses of a host name that it permits have
//     changed, and not otherwise.
//
// What a target refuses, and what cannot be made of a document for one sandbox, leaves its
// cell with what it has; [Followed.Report] says so, as it says what the layers made of the last
// revision, what takes effect only in a new cell, and whether the cell's backend is weaker than
// the policy wants by now. When a policy is deleted its cells keep what they have. A busy target
// is asked again some times; one that is gone is left.
//
// # Names
//
// The node looks up the host names of policies, a guest does not: a rule for a name is one for the
// addresses that it had when the node looked last. That is every [Options.ResolveEvery], for
// all names that any followed policy has; resolvers of Go do not tell how long an answer is
// good for. Where nobody answers, the last answer counts for [Options.ResolveKeep], and then
// the rule gives nothing. A new version is not kept waiting by names that were never looked
// up: it takes effect without them, and again with them. Follow waits for them, a little.
//
// # Goroutines
//
// A Reloader has one that watches the store, one that looks up names and one for each target
// that is at work. Close ends them and waits. All methods may be called by any goroutine, but
// for Reloader.Close, which a target must not call.
package live
