// Package check is tests of what is deployed beside a node: the rules and alerts of Prometheus, and
// the queries of the dashboard, read and evaluated by Prometheus' own code. It is a module of its
// own, so that a node does not depend on that.
package check
