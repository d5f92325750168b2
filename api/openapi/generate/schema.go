package main

import (
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
)

type object = map[string]any

// document is what is being written.
type document struct{ schemas object }

// wellKnown are messages that JSON has forms of its own for.
var wellKnown = map[protoreflect.FullName]object{
	"google.protobuf.Duration":  {"type": "string", "pattern": `^-?[0-9]+(\.[0-9]{1,9})?s$`, "examples": []string{"1.5s"}},
	"google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
}

// message is a reference to a message's schema, which is there then.
func (d *document) message(m *protogen.Message) object {
	if own := wellKnown[m.Desc.FullName()]; own != nil {
		return own
	}
	name := string(m.Desc.FullName())
	if d.schemas[name] == nil {
		s := object{"type": "object", "additionalProperties": false}
		d.schemas[name] = s // before its fields: messages can contain themselves
		properties := object{}
		for _, f := range m.Fields {
			properties[f.Desc.JSONName()] = d.field(f)
		}
		if len(properties) > 0 {
			s["properties"] = properties
		}
		if words := text(m.Comments.Leading, nil); words != "" {
			s["description"] = words
		}
	}
	return object{"$ref": "#/components/schemas/" + name}
}

// field is a property.
func (d *document) field(f *protogen.Field) object {
	s := object{}
	switch {
	case f.Desc.IsMap():
		s = object{"type": "object", "additionalProperties": d.single(f.Message.Fields[1])}
	case f.Desc.IsList():
		s = object{"type": "array", "items": d.single(f)}
	default:
		for k, v := range d.single(f) { // it may be one that many share
			s[k] = v
		}
	}
	words := text(f.Comments.Leading, nil)
	if words == "" {
		words = text(f.Comments.Trailing, nil)
	}
	if f.Oneof != nil && !f.Oneof.Desc.IsSynthetic() {
		words = strings.TrimSpace(words + " One of the fields of " + string(f.Oneof.Desc.Name()) + ".")
	}
	if words != "" {
		s["description"] = words
	}
	return s
}

// single is one value of a field, as protobuf's JSON has it.
func (d *document) single(f *protogen.Field) object {
	switch f.Desc.Kind() {
	case protoreflect.MessageKind:
		return d.message(f.Message)
	case protoreflect.BoolKind:
		return object{"type": "boolean"}
	case protoreflect.StringKind:
		return object{"type": "string"}
	case protoreflect.BytesKind:
		return object{"type": "string", "contentEncoding": "base64"}
	case protoreflect.DoubleKind:
		return object{"type": []string{"number", "string"}, "description": "NaN and the infinities are strings."}
	case protoreflect.Int32Kind:
		return object{"type": "integer", "format": "int32"}
	case protoreflect.Uint32Kind:
		return object{"type": "integer", "minimum": 0, "maximum": 1<<32 - 1}
	case protoreflect.Int64Kind:
		return object{"type": []string{"string", "integer"}, "pattern": "^-?[0-9]+$", "format": "int64"}
	case protoreflect.Uint64Kind:
		return object{"type": []string{"string", "integer"}, "pattern": "^[0-9]+$"}
	}
	panic("a field of kind " + f.Desc.Kind().String() + ": say here how JSON has it")
}

// text is a comment as a description. The service's begins with what the file says.
func text(c protogen.Comments, f *protogen.File) string {
	words := string(c)
	if f != nil {
		words = string(syntaxComment(f)) + "\n" + words
	}
	lines := strings.Split(words, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	joined := strings.Join(lines, "\n")
	paragraphs := strings.Split(joined, "\n\n")
	for i, p := range paragraphs {
		paragraphs[i] = strings.TrimSpace(strings.ReplaceAll(p, "\n", " "))
	}
	return strings.TrimSpace(strings.Join(paragraphs, "\n\n"))
}

// syntaxComment is what stands above a file's first line.
func syntaxComment(f *protogen.File) protogen.Comments {
	at := f.Desc.SourceLocations().ByPath(protoreflect.SourcePath{12})
	return protogen.Comments(at.LeadingComments)
}
