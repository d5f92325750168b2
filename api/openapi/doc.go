// Package openapi has the OpenAPI 3.1 document of the node's API: what a client sends and gets
// that speaks JSON over HTTP. The server serves it at /openapi.json.
//
// The document is made of the .proto files, comments included, by the plug-in in generate; a
// test fails when it is not of what the build has. Streams are described as what they are over
// HTTP: a request and answers in envelopes of five bytes, which few tools made for OpenAPI
// understand. docs/api.md says how they are read.
package openapi

import _ "embed"

// Document is the document, JSON. It is to be read only.
//
//go:embed openapi.json
var Document []byte
