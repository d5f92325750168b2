package server

import (
	"bytes"
	"encoding/json"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pyisolate/pyisolate/cell"
)

// jsonCodec reads and writes messages as JSON. A field that is not known is an error and not
// left out: the client meant something by it, as a limit. What is written has no spaces and
// is always the same.
type jsonCodec struct{ name string }

var _ connect.Codec = jsonCodec{}

// withJSON puts the codec in place of package connect's.
func withJSON() connect.HandlerOption {
	return connect.WithHandlerOptions(connect.WithCodec(jsonCodec{"json"}), connect.WithCodec(jsonCodec{"json; charset=utf-8"}))
}

// Name implements connect.Codec.
func (c jsonCodec) Name() string { return c.name }

// Marshal implements connect.Codec.
func (jsonCodec) Marshal(message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message", message)
	}
	spaced, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	out := bytes.NewBuffer(make([]byte, 0, len(spaced)))
	err = json.Compact(out, spaced)
	return out.Bytes(), err
}

// Unmarshal implements connect.Codec.
func (jsonCodec) Unmarshal(data []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no message", message)
	}
	if len(data) == 0 {
		return fmt.Errorf("there is no JSON: send {} for an empty request")
	}
	return protojson.Unmarshal(data, m)
}

// refuseUnknown refuses a message that has fields which this node does not know, in it or in
// what is in it: a newer client's limit would not be one.
func refuseUnknown(m protoreflect.Message) (err error) {
	if len(m.GetUnknown()) > 0 {
		return cell.Errorf(cell.Invalid, "%s has a field that this node does not know: it is older than the client", m.Descriptor().Name())
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Message() != nil && !f.IsList() && !f.IsMap() {
			err = refuseUnknown(v.Message())
		}
		return err == nil
	})
	return err
}
