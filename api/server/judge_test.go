package server_test

import (
	"errors"
	"strings"
	"testing"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/policystore"
)

func TestCheck(t *testing.T) {
	n := newNode(t)
	n.put(t, "web", "math, json")
	check := func(r *pb.CheckRequest) *pb.CheckResponse {
		t.Helper()
		answer, err := n.Policies.Check(t.Context(), connect.NewRequest(r))
		must(t, err)
		return answer.Msg
	}
	if got := check(&pb.CheckRequest{Text: string(permits("math"))}); len(got.GetProblems())+len(got.GetChanges()) != 0 || got.GetSandboxes()[0] != "main" {
		t.Errorf("%v", got)
	}
	got := check(&pb.CheckRequest{Text: "version: \"1.0\"\nsandboxes:\n  main:\n    inports: []\n"})
	if len(got.GetProblems()) != 1 || got.GetProblems()[0].GetLine() != 4 || !strings.Contains(got.GetProblems()[0].GetHint(), "imports") {
		t.Errorf("%v", got)
	}
	got = check(&pb.CheckRequest{Text: string(permits("json, re")), Base: "web"})
	var changes []string
	for _, c := range got.GetChanges()[0].GetChanges() {
		changes = append(changes, c.GetDirection()+" "+c.GetText())
	}
	if text := strings.Join(changes, ", "); text != "gained re, lost math" || got.GetNumber() != 1 {
		t.Errorf("%q, %v", text, got)
	}
	got = check(&pb.CheckRequest{Text: "version: \"1.0\"\nsandboxes:\n  main: {imports: [math, json]}\n  more: {}\n", Base: "web"})
	if len(got.GetChanges()) != 1 || !got.GetChanges()[0].GetAdded() || got.GetChanges()[0].GetSandbox() != "more" {
		t.Errorf("%v", got)
	}
	bound, _ := n.as(t, "viewer", "a")
	n.put(t, "b/p", "math")
	if _, err := bound.Policies.Check(t.Context(), connect.NewRequest(&pb.CheckRequest{Text: string(permits("math")), Base: "b/p"})); !errors.Is(err, policystore.ErrDenied) {
		t.Errorf("%v", err)
	}
	if _, err := n.Policies.Check(t.Context(), connect.NewRequest(&pb.CheckRequest{Text: string(permits("math")), Base: "none"})); !errors.Is(err, policystore.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestExplain(t *testing.T) {
	n := newNode(t)
	text := "version: \"1.0\"\nsandboxes:\n  main:\n    imports: [math]\n    fs: [ {read: /srv/data} ]\n    net: [ {connect: \"10.0.0.0/8:443\"} ]\n"
	_, err := n.Policies.Put(t.Context(), connect.NewRequest(&pb.PutRequest{Name: "web", Text: []byte(text)}))
	must(t, err)
	for _, c := range []struct {
		ask     *pb.ExplainRequest
		allowed bool
		line    uint32
	}{
		{&pb.ExplainRequest{Question: &pb.ExplainRequest_Module{Module: "math"}}, true, 4},
		{&pb.ExplainRequest{Question: &pb.ExplainRequest_Module{Module: "socket"}}, false, 0},
		{&pb.ExplainRequest{Question: &pb.ExplainRequest_Path{Path: &pb.PathQuestion{Path: "/srv/data/x"}}}, true, 5},
		{&pb.ExplainRequest{Question: &pb.ExplainRequest_Path{Path: &pb.PathQuestion{Path: "/srv/data/x", Write: true}}}, false, 0},
		{&pb.ExplainRequest{Question: &pb.ExplainRequest_Address{Address: "10.1.2.3:443"}}, true, 6},
		{&pb.ExplainRequest{Question: &pb.ExplainRequest_Address{Address: "10.1.2.3:80"}}, false, 0},
	} {
		for _, stored := range []bool{true, false} {
			if c.ask.Name, c.ask.Text = "web", ""; !stored {
				c.ask.Name, c.ask.Text = "", text
			}
			answer, err := n.Policies.Explain(t.Context(), connect.NewRequest(c.ask))
			if err != nil || answer.Msg.GetAllowed() != c.allowed || answer.Msg.GetLine() != c.line || answer.Msg.GetLayer() == "" || answer.Msg.GetWhy() == "" {
				t.Errorf("%v: %v, %v", c.ask, answer, err)
			}
		}
	}
	math := &pb.ExplainRequest_Module{Module: "math"}
	for name, c := range map[string]struct {
		ask  *pb.ExplainRequest
		want error
	}{
		"no question":     {&pb.ExplainRequest{Name: "web"}, policystore.ErrInvalid},
		"no document":     {&pb.ExplainRequest{Question: math}, policystore.ErrInvalid},
		"two documents":   {&pb.ExplainRequest{Name: "web", Text: text, Question: math}, policystore.ErrInvalid},
		"a bad document":  {&pb.ExplainRequest{Text: "version: [", Question: math}, policystore.ErrInvalid},
		"no such policy":  {&pb.ExplainRequest{Name: "none", Question: math}, policystore.ErrNotFound},
		"no such sandbox": {&pb.ExplainRequest{Name: "web", Sandbox: "x", Question: math}, policystore.ErrNotFound},
		"a bad address":   {&pb.ExplainRequest{Name: "web", Question: &pb.ExplainRequest_Address{Address: "x"}}, policystore.ErrInvalid},
	} {
		if _, err := n.Policies.Explain(t.Context(), connect.NewRequest(c.ask)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSchema(t *testing.T) {
	n := newNode(t)
	answer, err := n.Policies.Schema(t.Context(), connect.NewRequest(&pb.SchemaRequest{}))
	if err != nil || !strings.Contains(answer.Msg.GetSchema(), "PyIsolate policy document") {
		t.Errorf("%v, %v", answer, err)
	}
}
