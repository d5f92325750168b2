// Package pyisolatev1 is version 1 of the node's API as protobuf messages; its
// sub-package pyisolatev1connect has the services. The .proto files are the
// contract: units, ranges and errors are said there.
//
// Compatibility: fields, calls and words are added, never changed or reused.
package pyisolatev1

//go:generate protoc -I ../.. --plugin=protoc-gen-go=./protoc-gen-go.sh --plugin=protoc-gen-connect-go=./protoc-gen-connect-go.sh --plugin=protoc-gen-openapi=./protoc-gen-openapi.sh --openapi_out=../../../openapi --go_out=../.. --go_opt=paths=source_relative --connect-go_out=../.. --connect-go_opt=paths=source_relative pyisolate/v1/error.proto pyisolate/v1/policy.proto pyisolate/v1/cell.proto pyisolate/v1/node.proto pyisolate/v1/cluster.proto pyisolate/v1/transfer.proto
