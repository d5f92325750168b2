// Package broker is the room between a node and its hosts: the sealed channel
// that all their traffic takes, in package seal; the transports below it, in
// package transport; and the effects behind a guest's request, in package
// capability. Node and host do not trust each other, and a guest has no other
// door to the world. docs/protocol.md describes the channel to the byte.
package broker
