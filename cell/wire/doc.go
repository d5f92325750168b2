// Package wire carries messages between a node and its host processes: a small
// protobuf control message and, beside it, payload bytes nobody on the way looks
// into. [Conn] is all the two ends know of the channel: messages in the frames of
// package seal, on a transport of package transport. There is no other way to speak
// to a host, and none without a seal.
//
// Messages are batched as the load has it: what is queued while a write is under way
// leaves in the next, in as few frames as it fits in. Alone, a message leaves at once.
//
// Threading: any goroutine may Send; Send does not wait for the other side
// unless megabytes are queued, and messages queued while a write is under way
// leave in one write. One goroutine receives. Close ends both.
//
// The peer is not trusted: sizes are bounded before anything is allocated.
package wire

//go:generate protoc --plugin=protoc-gen-go=./protoc-gen-go.sh --go_out=. --go_opt=paths=source_relative wire.proto
