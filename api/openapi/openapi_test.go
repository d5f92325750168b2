package openapi_test

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pyisolate/pyisolate/api/openapi"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

type schema struct {
	Ref         string            `json:"$ref"`
	Type        any               `json:"type"`
	Description string            `json:"description"`
	Properties  map[string]schema `json:"properties"`
	Items       *schema           `json:"items"`
}

type document struct {
	OpenAPI string
	Paths   map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Description string
		RequestBody struct {
			Content map[string]struct{ Schema schema }
		} `json:"requestBody"`
	}
	Components struct{ Schemas map[string]schema }
}

// files are those of the API.
var files = []protoreflect.FileDescriptor{pb.File_pyisolate_v1_policy_proto, pb.File_pyisolate_v1_cell_proto, pb.File_pyisolate_v1_node_proto, pb.File_pyisolate_v1_cluster_proto}

// The document is of the API that this build has: calls, messages and fields.
func TestDocumentIsOfThisBuild(t *testing.T) {
	var d document
	if err := json.Unmarshal(openapi.Document, &d); err != nil || d.OpenAPI != "3.1.0" {
		t.Fatalf("version %s, %v", d.OpenAPI, err)
	}
	var calls []string
	for _, f := range files {
		for i := range f.Services().Len() {
			service := f.Services().Get(i)
			for j := range service.Methods().Len() {
				m := service.Methods().Get(j)
				path := "/" + string(service.FullName()) + "/" + string(m.Name())
				calls = append(calls, path)
				post := d.Paths[path]["post"]
				if post.OperationID == "" || !strings.Contains(post.Description, "Role ") && m.Name() != "Migrate" {
					t.Errorf("%s: %+v", path, post)
				}
				for _, content := range post.RequestBody.Content {
					same(t, d, m.Input(), content.Schema)
				}
				same(t, d, m.Output(), schema{Ref: "#/components/schemas/" + string(m.Output().FullName())})
			}
		}
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(calls)), slices.Sorted(maps.Keys(d.Paths))); diff != "" {
		t.Errorf("make generate: calls differ: %s", diff)
	}
}

// same compares a message with what the document says of it, and those in it.
func same(t *testing.T, d document, m protoreflect.MessageDescriptor, s schema) {
	t.Helper()
	name := strings.TrimPrefix(s.Ref, "#/components/schemas/")
	if name != string(m.FullName()) {
		t.Fatalf("%s has the schema %q", m.FullName(), s.Ref)
	}
	own, known := d.Components.Schemas[name]
	if !known {
		t.Fatalf("make generate: there is no schema %s", name)
	}
	var want []string
	for i := range m.Fields().Len() {
		want = append(want, m.Fields().Get(i).JSONName())
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(own.Properties))); diff != "" {
		t.Errorf("make generate: fields of %s differ: %s", name, diff)
	}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if f.Message() == nil || f.IsMap() || f.Message().ParentFile().Package() != m.ParentFile().Package() {
			continue
		}
		at := own.Properties[f.JSONName()]
		if f.IsList() {
			at = *at.Items
		}
		same(t, d, f.Message(), at)
	}
}

// docs/api.md names every call.
func TestEveryCallIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		for i := range f.Services().Len() {
			service := f.Services().Get(i)
			for j := range service.Methods().Len() {
				if call := string(service.Name()) + "/" + string(service.Methods().Get(j).Name()); !strings.Contains(string(page), call) {
					t.Errorf("%s is not in docs/api.md", call)
				}
			}
		}
	}
}
