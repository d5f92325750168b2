// Package webhook posts events to URLs, for whoever is to be told: a pager, a chat, a log.
//
// Each [Hook] has a goroutine of the [Sender] and its own place in the hub, so that one whose
// server is slow or away holds up neither another nor the node; what the hub drops meanwhile is
// lost, and counted in the next request. Events that wait go together, 100 in a request at most.
//
// A request is a POST of a [Body] in JSON. It is signed where the hook has a secret ([Sign],
// [Verify]), and has an id that stays the same when it is sent again: a receiver may get one
// twice. 2xx is success. What may go better later (no answer, 408, 425, 429, 5xx) is sent again,
// after a pause that doubles, or that the server asked for; everything else is given up at once.
//
// Redirects are not followed. Where a URL may lead is judged as for sources of policies, by
// package outbound: to the public internet, and to this machine and private networks only where
// the hook says so. No proxy of the environment is used.
package webhook
