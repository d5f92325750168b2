package server_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/api/server"
)

// calls are all of the API, and a request of each with something in every field.
func calls(tb testing.TB) (paths []string, requests []proto.Message) {
	for path := range server.Roles() {
		if strings.HasPrefix(path, "/pyisolate.") {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	for _, path := range paths {
		service, call, _ := strings.Cut(path[1:], "/")
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
		must(tb, err)
		input := d.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(call)).Input()
		kind, err := protoregistry.GlobalTypes.FindMessageByName(input.FullName())
		must(tb, err)
		m := kind.New()
		fill(m)
		requests = append(requests, m.Interface())
	}
	return paths, requests
}

// fill puts something into every field.
func fill(m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.IsList() && f.Message() == nil:
			m.Mutable(f).List().Append(something(f))
		case f.IsList() || f.IsMap():
		case f.Message() != nil:
			fill(m.Mutable(f).Message())
		default:
			m.Set(f, something(f))
		}
	}
}

func something(f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("web")
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte("1"))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(1)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(1)
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(1)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(1)
	}
	return protoreflect.ValueOfFloat64(1)
}

// FuzzJSON and FuzzProto: whatever bytes a call gets, the node answers, and goes on.
func FuzzJSON(f *testing.F) { fuzzCalls(f, "json", protojson.Marshal) }

func FuzzProto(f *testing.F) { fuzzCalls(f, "proto", proto.Marshal) }

func fuzzCalls(f *testing.F, kind string, marshal func(proto.Message) ([]byte, error)) {
	paths, requests := calls(f)
	for i, r := range requests {
		body, err := marshal(r)
		must(f, err)
		f.Add(uint8(i), body)
	}
	n := newNode(f)
	n.put(f, "web", "math")
	s := httptest.NewServer(n.server.Handler())
	f.Cleanup(func() { s.Close(); http.DefaultClient.CloseIdleConnections() })
	made, err := n.Policies.CreateToken(f.Context(), connect.NewRequest(&pb.CreateTokenRequest{Name: "fuzz", Role: "admin"}))
	must(f, err)
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		path, content := paths[int(which)%len(paths)], "application/"+kind
		if streams(path) {
			content = "application/connect+" + kind
			body = append([]byte{0, byte(len(body) >> 24), byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+path, strings.NewReader(string(body)))
		must(t, err)
		r.Header.Set("Authorization", "Bearer "+made.Msg.GetSecret())
		r.Header.Set("Content-Type", content)
		answer, err := http.DefaultClient.Do(r)
		if ctx.Err() != nil { // a cell that posts nothing
			return
		}
		must(t, err)
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusInternalServerError {
			t.Errorf("%s: %s", path, answer.Status)
		}
		n.tidy(t, path)
	})
}

func streams(path string) bool {
	service, call, _ := strings.Cut(path[1:], "/")
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	return err == nil && d.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(call)).IsStreamingServer()
}

// tidy closes the cells that a call may have started.
func (n *node) tidy(t *testing.T, path string) {
	if !strings.HasSuffix(path, "/Spawn") {
		return
	}
	all, err := n.Cells.List(t.Context(), connect.NewRequest(&pb.ListCellsRequest{}))
	must(t, err)
	for _, r := range all.Msg.GetReports() {
		_, err := n.Cells.Close(t.Context(), connect.NewRequest(&pb.CloseRequest{Tenant: r.GetCell().GetTenant(), Name: r.GetCell().GetName()}))
		must(t, err)
	}
}
