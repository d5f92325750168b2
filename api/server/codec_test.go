package server_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
)

// JSON is read strictly, and written without spaces.
func TestJSON(t *testing.T) {
	n := newNode(t)
	c := n.plainClient(t, false)
	for _, one := range []struct {
		name, call, kind, body string
		status                 int
		says                   string
	}{
		{"camel case", "Spawn", "application/json", `{"name":"a","allowedImports":["math"]}`, 200, `{"cell":{"tenant":"default","name":"a"},"report":{"cell":{"tenant":"default","name":"a"},"id":"`},
		{"snake case", "Spawn", "application/json; charset=utf-8", `{"name":"b","allowed_imports":["math"]}`, 200, `"name":"b"`},
		{"a field that is none", "Spawn", "application/json", `{"name":"c","allowedImport":["math"]}`, 400, "allowedImport"},
		{"a limit that is none", "Spawn", "application/json", `{"name":"c","limits":{"mem":1}}`, 400, "mem"},
		{"a field twice", "Spawn", "application/json", `{"name":"c","name":"d"}`, 400, "duplicate"},
		{"nothing", "List", "application/json", ``, 400, "{}"},
		{"no JSON", "List", "application/json", `{`, 400, "invalid_argument"},
		{"two texts", "List", "application/json", `{}{}`, 400, "invalid_argument"},
		{"too deep", "List", "application/json", strings.Repeat(`{"tenant":`, 5000), 400, "invalid_argument"},
		{"bytes that are no UTF-8", "List", "application/json", "{\"tenant\":\"\xff\"}", 400, "invalid_argument"},
		{"another encoding", "List", "text/plain", "{}", 415, ""},
		{"an empty request", "List", "application/json", "{}", 200, `{"reports":[{`},
	} {
		answer, err := c.Post("http://node/pyisolate.v1.CellService/"+one.call, one.kind, strings.NewReader(one.body))
		must(t, err)
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != one.status || !strings.Contains(string(text), one.says) {
			t.Errorf("%s: %d %s", one.name, answer.StatusCode, text)
		}
		if answer.StatusCode == http.StatusOK && strings.Contains(string(text), ": ") && !strings.Contains(string(text), `evidence":"`) {
			t.Errorf("%s: there are spaces: %s", one.name, text)
		}
	}
}

// A newer client's limit is not left out in silence.
func TestUnknownFields(t *testing.T) {
	n := newNode(t)
	for name, r := range map[string]*pb.SpawnRequest{"at the top": {}, "in limits": {Limits: &pb.Limits{}}} {
		newer := protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 1)
		if r.Limits != nil {
			r.Limits.ProtoReflect().SetUnknown(newer)
		} else {
			r.ProtoReflect().SetUnknown(newer)
		}
		if _, err := n.Cells.Spawn(t.Context(), connect.NewRequest(r)); !errors.Is(err, cell.Invalid) || !strings.Contains(err.Error(), "older than the client") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
