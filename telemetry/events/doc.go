// Package events keeps what happened lately to a node's cells, hosts and policies, and tells
// whoever wants to know. What happens is published where it happens; readers are streams of the
// API, webhooks and the console.
//
// A [Hub] promises:
//
//   - Nobody who publishes ever waits for somebody who reads. A reader that is too slow misses the
//     oldest events, and learns how many.
//   - Events are bounded: texts are cut, valid UTF-8, and of one line, whatever a guest has put
//     into them.
//   - Nobody drives out what is known of others: when there are too many events, the oldest goes of
//     who has most, be that a tenant, the hosts, or the node. What guests and their callers can
//     bring about as often as they like (cells' lives, denials, faults of capabilities, operations
//     that limits end) has a budget for each tenant and kind; beyond it events are counted and not
//     kept, and the next that is kept says how many are missing.
//
// A hub has no goroutines and needs no end. All methods may be called from any goroutine, and on
// a nil *Hub, which keeps nothing.
package events
