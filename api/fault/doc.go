// Package fault carries errors over the API: one table says which code and which word of the
// vocabulary each failure has, for the server that answers and the client that is answered.
//
// What a client gets back matches the same sentinels and has the same parts as what the
// server had: errors.Is(err, policystore.ErrConflict), a [cell.Error] with the guest's
// traceback, the problems of a document. What has no row is the node's own fault: the client
// hears that, and the node's log why.
//
// Compatibility: words and their codes are part of version 1 of the API. Rows may be added.
package fault
