// Package envelope has the messages that nodes send each other about cells, as protobuf generates
// them. What they mean is said in envelope.proto.
package envelope

//go:generate protoc --plugin=protoc-gen-go=./protoc-gen-go.sh --go_out=. --go_opt=paths=source_relative envelope.proto
