package server_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/document"
)

func TestPolicyLife(t *testing.T) {
	n, ctx := newNode(t), t.Context()
	first := n.put(t, "web", "math")
	if first.GetNumber() != 1 || !strings.HasPrefix(first.GetAuthor(), "uid:") {
		t.Errorf("first version %v", first)
	}
	n.put(t, "web", "json")
	got, err := n.Policies.Get(ctx, connect.NewRequest(&pb.GetRequest{Name: "web"}))
	must(t, err)
	if sum := sha256.Sum256(permits("json")); string(got.Msg.GetVersion().GetText()) != string(permits("json")) || string(got.Msg.GetVersion().GetHash()) != string(sum[:]) {
		t.Errorf("newest is %v", got.Msg)
	}
	back, err := n.Policies.Rollback(ctx, connect.NewRequest(&pb.RollbackRequest{Name: "web", To: 1}))
	must(t, err)
	if v := back.Msg.GetVersion(); v.GetNumber() != 3 || string(v.GetHash()) != string(first.GetHash()) {
		t.Errorf("rolled back to %v", v)
	}
	gone, err := n.Policies.Delete(ctx, connect.NewRequest(&pb.DeleteRequest{Name: "web"}))
	must(t, err)
	if v := gone.Msg.GetVersion(); v.GetNumber() != 4 || !v.GetDeleted() || v.GetHash() != nil {
		t.Errorf("deleted as %v", v)
	}
	if _, err := n.Policies.Get(ctx, connect.NewRequest(&pb.GetRequest{Name: "web"})); !errors.Is(err, policystore.ErrNotFound) {
		t.Errorf("get after delete: %v", err)
	}
	history, err := n.Policies.History(ctx, connect.NewRequest(&pb.HistoryRequest{Name: "web", Limit: 3}))
	must(t, err)
	if v := history.Msg.GetVersions(); len(v) != 3 || v[0].GetNumber() != 4 || v[0].GetText() != nil {
		t.Errorf("history %v", v)
	}
	sum, err := n.Policies.VerifyAudit(ctx, connect.NewRequest(&pb.VerifyAuditRequest{}))
	must(t, err)
	records, err := n.Policies.Audit(ctx, connect.NewRequest(&pb.AuditRequest{}))
	must(t, err)
	last := records.Msg.GetRecords()[len(records.Msg.GetRecords())-1]
	if sum.Msg.GetRecords() < 4 || string(last.GetHash()) != string(sum.Msg.GetHead()) || last.GetAction() != "delete" || last.GetRole() != "admin" {
		t.Errorf("audit %v, its last record %v", sum.Msg, last)
	}
}

func TestPutRefuses(t *testing.T) {
	n := newNode(t)
	n.put(t, "web", "math")
	one, nine := uint64(1), uint64(9)
	for _, c := range []struct {
		name string
		put  *pb.PutRequest
		want error
		says string
	}{
		{"faults", &pb.PutRequest{Name: "web", Text: []byte("version: \"1.0\"\nsandboxes:\n  a:\n    inports: [math]\n")}, policystore.ErrInvalid, "inports"},
		{"another version expected", &pb.PutRequest{Name: "web", Text: permits("json"), Expect: &nine}, policystore.ErrConflict, "9"},
		{"a policy expected", &pb.PutRequest{Name: "none", Text: permits("json"), Expect: &one}, policystore.ErrConflict, ""},
		{"a name", &pb.PutRequest{Name: "../etc", Text: permits("json")}, policystore.ErrInvalid, "name"},
		{"no text", &pb.PutRequest{Name: "web"}, policystore.ErrInvalid, ""},
		{"a long comment", &pb.PutRequest{Name: "web", Text: permits("json"), Comment: strings.Repeat("a", 5000)}, policystore.ErrInvalid, "comment"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := n.Policies.Put(t.Context(), connect.NewRequest(c.put))
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %v with %q", err, c.want, c.says)
			}
			var problems document.Problems
			if errors.As(err, &problems) && (problems[0].Line != 4 || problems[0].Hint == "") {
				t.Errorf("problems %v", problems)
			}
		})
	}
	if v, err := n.store.Get(t.Context(), "web", 0, policystore.Linearizable); err != nil || v.Number != 1 {
		t.Errorf("the policy has changed: %v, %v", v.Number, err)
	}
}

func TestPutTwiceWithOneID(t *testing.T) {
	n := newNode(t)
	for range 2 {
		answer, err := n.Policies.Put(t.Context(), connect.NewRequest(&pb.PutRequest{Name: "web", Text: permits("math"), RequestId: "once"}))
		if err != nil || answer.Msg.GetVersion().GetNumber() != 1 {
			t.Fatalf("%v, %v", answer, err)
		}
	}
}

// A message that is larger than any policy is refused by its size.
func TestPutTooLarge(t *testing.T) {
	n := newNode(t)
	_, err := n.Policies.Put(t.Context(), connect.NewRequest(&pb.PutRequest{Name: "web", Text: make([]byte, 4<<20)}))
	var answered *fault.Error
	if !errors.As(err, &answered) || answered.Kind != "Invalid" {
		t.Errorf("error %v", err)
	}
}

func TestWatch(t *testing.T) {
	n := newNode(t)
	n.put(t, "other", "math")
	from := n.put(t, "web/a", "math").GetIndex()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch, err := n.Policies.Watch(ctx, connect.NewRequest(&pb.WatchRequest{Prefix: "web/", From: from}))
	must(t, err)
	defer func() { _ = watch.Close() }()
	n.put(t, "web/b", "math")
	n.put(t, "other", "json")
	n.put(t, "web/a", "json")
	for _, want := range []string{"web/b 1", "web/a 2"} {
		if !watch.Receive() {
			t.Fatal(watch.Err())
		}
		v := watch.Msg().GetVersion()
		if got := v.GetName() + " " + string(rune('0'+v.GetNumber())); got != want || v.GetText() != nil {
			t.Errorf("watched %s, want %s", got, want)
		}
	}
	cancel()
	if watch.Receive() || !errors.Is(watch.Err(), context.Canceled) {
		t.Errorf("after cancelling: %v", watch.Err())
	}
}

func TestListPages(t *testing.T) {
	n := newNode(t)
	for _, name := range []string{"a", "b/x", "c", "d/y", "e"} {
		n.put(t, name, "math")
	}
	viewer, _ := n.as(t, "viewer", "b")
	var names []string
	page := &pb.ListRequest{Limit: 2}
	for more := true; more; {
		answer, err := viewer.Policies.List(t.Context(), connect.NewRequest(page))
		must(t, err)
		for _, v := range answer.Msg.GetVersions() {
			names = append(names, v.GetName())
			page.After = v.GetName()
		}
		if more = answer.Msg.GetMore(); more && len(answer.Msg.GetVersions()) != 2 {
			t.Errorf("a page of %d", len(answer.Msg.GetVersions()))
		}
	}
	if got := strings.Join(names, " "); got != "a b/x c e" {
		t.Errorf("listed %s", got)
	}
	if _, err := viewer.Policies.List(t.Context(), connect.NewRequest(&pb.ListRequest{Limit: 5000})); !errors.Is(err, policystore.ErrInvalid) {
		t.Errorf("limit 5000: %v", err)
	}
}

// A page that ends with the last policy that its reader may see says so, whatever others have behind it.
func TestListTellsNothingOfOthers(t *testing.T) {
	n := newNode(t)
	for _, name := range []string{"a/x", "b/x", "c/x"} {
		n.put(t, name, "math")
	}
	viewer, _ := n.as(t, "viewer", "b")
	for name, c := range map[string]struct {
		page *pb.ListRequest
		want int
	}{
		"behind its own": {&pb.ListRequest{Limit: 1}, 1},
		"another's":      {&pb.ListRequest{Limit: 1, Prefix: "c/"}, 0},
		"all behind":     {&pb.ListRequest{Limit: 1, After: "b/x"}, 0},
	} {
		answer, err := viewer.Policies.List(t.Context(), connect.NewRequest(c.page))
		must(t, err)
		if got := len(answer.Msg.GetVersions()); got != c.want || answer.Msg.GetMore() {
			t.Errorf("%s: %d policies, more: %t", name, got, answer.Msg.GetMore())
		}
	}
}
