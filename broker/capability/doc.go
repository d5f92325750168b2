// Package capability is the only door through which a cell reaches the world: a
// guest's request names a capability and an action, and the node decides, does it
// and answers.
//
// A [Capability] is an interface with one method; the sub-packages have those that
// come with PyIsolate, and builtin registers them all. Whoever embeds the library
// registers more by name, and nothing else changes.
//
// A [Broker] holds what is registered. It opens one [Session] per cell, with the
// cell's grants. A session is a pointer in the node's memory and has no name that
// could be sent: a request says what it wants, never who it is, so a cell can use
// nothing but the session its node connected it to.
//
// Each request is held to the grants of the moment, to a rate, a number of calls at
// once, a deadline and a size both ways. It yields one [Record], and a refusal
// yields a [Denial] before the guest hears of it. Policy changes by
// [Session.Update]: at once for requests that follow, and calls under way whose
// grant is gone or different are cancelled and answered as refused; what outlasts its call,
// as a subscription does, is ended by its capability, a [Settler].
//
// Goroutines: each request runs its capability in a goroutine of its own, so that
// [Session.Do] returns in time even if the capability does not. [Broker.Close]
// waits for them. A panic in a capability is an Internal error of that request.
//
// This package does not know cells: package cell's layer translates, by
// [Kind.Word] and [Value]. Compatibility: content types and kinds keep their
// numbers; kinds may be added.
package capability
