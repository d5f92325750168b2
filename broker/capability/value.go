package capability

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// ContentType says how the bytes of a [Value] are to be read. The numbers are
// those of cell.ContentType.
type ContentType uint8

const (
	// JSON is one RFC 8259 text.
	JSON ContentType = iota
	// Bytes is raw binary: a Python bytes object on the other side.
	Bytes
)

// String returns the media type.
func (t ContentType) String() string {
	switch t {
	case JSON:
		return "application/json"
	case Bytes:
		return "application/octet-stream"
	}
	return fmt.Sprintf("content-type(%d)", uint8(t))
}

// A Value is a request's payload or its answer.
type Value struct {
	Type ContentType
	Data []byte
}

// String tells type and size and never the content, which may be a secret.
func (v Value) String() string { return fmt.Sprintf("%s, %d bytes", v.Type, len(v.Data)) }

// GoString is String, so that %#v does not show the content either.
func (v Value) GoString() string { return v.String() }

// Null is Python's None.
func Null() Value { return Value{Type: JSON, Data: []byte("null")} }

// BytesValue wraps b without copying it.
func BytesValue(b []byte) Value { return Value{Type: Bytes, Data: b} }

// JSONValue encodes v.
func JSONValue(v any) (Value, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return Value{}, fmt.Errorf("encode answer: %w", err)
	}
	return Value{Type: JSON, Data: bytes.TrimSuffix(buf.Bytes(), []byte("\n"))}, nil
}

// Pack joins a JSON header and raw bytes in one Bytes value, for what JSON cannot
// carry: the header's length as four bytes, big-endian, the header, the rest.
func Pack(header any, body []byte) (Value, error) {
	h, err := JSONValue(header)
	if err != nil {
		return Value{}, err
	}
	data := make([]byte, 4, 4+len(h.Data)+len(body))
	binary.BigEndian.PutUint32(data, uint32(len(h.Data)))
	return BytesValue(append(append(data, h.Data...), body...)), nil
}

// Unpack is the reverse of [Pack]. The results share v's memory.
func Unpack(v Value) (header json.RawMessage, body []byte, err error) {
	if v.Type != Bytes {
		return nil, nil, Errorf(Invalid, "a packed value is bytes, not %s", v.Type)
	}
	if len(v.Data) < 4 {
		return nil, nil, Errorf(Invalid, "a packed value begins with the length of its header in 4 bytes; this has %d in all", len(v.Data))
	}
	n := binary.BigEndian.Uint32(v.Data)
	if uint64(n) > uint64(len(v.Data)-4) {
		return nil, nil, Errorf(Invalid, "the packed value's header has %d bytes by its length, and %d follow", n, len(v.Data)-4)
	}
	return json.RawMessage(v.Data[4 : 4+n]), v.Data[4+n:], nil
}
