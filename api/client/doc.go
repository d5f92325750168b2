// Package client calls a node: over its unix socket, or over HTTPS with a token.
//
// A [Client] has the calls of the API's services as they are generated. Errors are what
// the node had: they match the sentinels of policystore and refresh and the kinds of package
// cell (see package fault).
//
// A client may be used by several goroutines; it owns none. Close gives its connections back.
package client
