// Command generate is the plug-in of protoc that writes the OpenAPI document.
package main

import (
	"bytes"
	"encoding/json"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/types/pluginpb"
)

// betweenNodes is the file of what nodes ask of each other alone: it is not for clients.
const betweenNodes = "pyisolate/v1/transfer.proto"

func main() {
	protogen.Options{}.Run(func(p *protogen.Plugin) error {
		p.SupportedFeatures = uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL)
		d := document{schemas: object{}}
		paths, tags := object{}, []object{}
		for _, f := range p.Files {
			if f.Desc.Path() == betweenNodes {
				continue
			}
			for _, s := range f.Services {
				tags = append(tags, object{"name": string(s.Desc.Name()), "description": text(s.Comments.Leading, f)})
				for _, m := range s.Methods {
					paths["/"+string(s.Desc.FullName())+"/"+string(m.Desc.Name())] = object{"post": d.call(s, m)}
				}
			}
		}
		return write(p, object{
			"openapi": "3.1.0",
			"info": object{"title": "PyIsolate node", "version": "v1", "license": object{"name": "MIT", "identifier": "MIT"},
				"description": "The API of a PyIsolate node as JSON over HTTP: each call is a POST. The same paths answer gRPC and gRPC-Web."},
			"servers":  []object{{"url": "/"}},
			"security": []object{{"token": []string{}}, {}},
			"tags":     tags,
			"paths":    paths,
			"components": object{"schemas": d.schemas, "securitySchemes": object{"token": object{"type": "http", "scheme": "bearer",
				"description": "On the node's unix socket its own user and root need none."}}},
		})
	})
}

func write(p *protogen.Plugin, doc object) error {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(doc); err != nil {
		return err
	}
	_, err := p.NewGeneratedFile("openapi.json", "").Write(out.Bytes())
	return err
}

// call is one operation.
func (d *document) call(s *protogen.Service, m *protogen.Method) object {
	kind := "application/json"
	if m.Desc.IsStreamingServer() {
		kind = "application/connect+json"
	}
	return object{
		"operationId": string(s.Desc.Name()) + "_" + string(m.Desc.Name()), "tags": []string{string(s.Desc.Name())},
		"description": text(m.Comments.Leading, nil),
		"requestBody": object{"required": true, "content": object{kind: object{"schema": d.message(m.Input)}}},
		"responses": object{
			"200":     object{"description": "What it answers.", "content": object{kind: object{"schema": d.message(m.Output)}}},
			"default": object{"description": "It failed.", "content": object{"application/json": object{"schema": d.failure()}}},
		},
	}
}

// failure is connect's error, with the API's detail.
func (d *document) failure() object {
	const name = "connect.Error"
	if d.schemas[name] == nil {
		d.schemas[name] = object{"type": "object", "required": []string{"code"}, "properties": object{
			"code":    object{"type": "string", "description": "What the client does next: not_found, resource_exhausted, …"},
			"message": object{"type": "string"},
			"details": object{"type": "array", "items": object{"type": "object", "properties": object{
				"type":  object{"type": "string", "const": "pyisolate.v1.ErrorDetail"},
				"value": object{"type": "string", "contentEncoding": "base64", "description": "The detail as protobuf."},
				"debug": object{"$ref": "#/components/schemas/pyisolate.v1.ErrorDetail"},
			}}},
		}}
	}
	return object{"$ref": "#/components/schemas/" + name}
}
