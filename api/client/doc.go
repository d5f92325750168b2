// Package client calls a node: over its unix socket, or over HTTPS with a token.
//
// A [Client] has the calls of the API's services as they are generated. Errors are what
// the node had: they match the sentinels of policystore and refresh and the kinds of package
// cell (see package fault).
//
// A call whose context has a span of OpenTelemetry's is part of its trace: the node, and the guest
// that the call is for, go on with it.
//
// [Client.Migrate] follows a move of a cell to its end, which a stream alone does not tell.
//
// A client may be used by several goroutines; it owns none. Close gives its connections back.
package client
