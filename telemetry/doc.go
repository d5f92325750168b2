// Package telemetry counts what a node does, for Prometheus, and ties the node's parts to the
// packages below it: events (what happened), trace (one request's way), webhook (who is told) and
// logging.
//
// [Metrics] has a registry of its own. What happens is counted by its methods, which packages
// below call through hooks of their own or [Observer] calls for them; what others have counted
// already is read when somebody scrapes ([Sources]). A nil *Metrics and a nil *Observer count
// nothing, so that nobody has to ask whether there is one.
//
// Series are bounded, whoever makes them up: labels are words of closed lists, and where names
// are others' (policies, what guests measure) there are so many and no more. Beyond it counters
// count under "other", and gauges are left out and counted.
//
// Every metric is described in docs/observability.md, by a test. Each observed cell has a goroutine
// until it ends, for which [Observer.Wait] waits; [Observer.WatchPolicies] uses its caller's. All
// methods may be called from any goroutine.
package telemetry
