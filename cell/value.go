package cell

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// ContentType says how the bytes of a [Value] are to be read.
type ContentType uint8

const (
	// JSON is one RFC 8259 text. Integers of any size are exact; NaN and
	// infinities do not exist.
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

// A Value is what crosses a cell's border. The zero Value is not valid; None
// is [Null].
type Value struct {
	Type ContentType
	Data []byte
}

// Null is Python's None.
func Null() Value { return Value{Type: JSON, Data: []byte("null")} }

// BytesValue wraps b without copying it.
func BytesValue(b []byte) Value { return Value{Type: Bytes, Data: b} }

// JSONValue encodes v; it fails on what encoding/json cannot encode.
func JSONValue(v any) (Value, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return Value{}, fmt.Errorf("encode value: %w", err)
	}
	return Value{Type: JSON, Data: data}, nil
}

// Decode reads a JSON value into v. Numbers decoded into an interface stay
// exact as [json.Number].
func (v Value) Decode(into any) error {
	if v.Type != JSON {
		return fmt.Errorf("decode value: content type is %s, not JSON", v.Type)
	}
	dec := json.NewDecoder(bytes.NewReader(v.Data))
	dec.UseNumber()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("decode value: %w", err)
	}
	return nil
}

// String renders the value for a person: JSON text as it is, bytes as a Go
// string literal when they are not printable text.
func (v Value) String() string {
	if v.Type == JSON || utf8.Valid(v.Data) {
		return string(v.Data)
	}
	return fmt.Sprintf("%q", v.Data)
}
