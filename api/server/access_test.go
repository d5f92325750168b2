package server_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pyisolate/pyisolate/api/client"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore"
)

// Each call is refused to each role that is too low, before anything else is looked at, and
// to whom nobody knows.
func TestEachCallNeedsItsRole(t *testing.T) {
	n := newNode(t)
	s := httptest.NewServer(n.server.Handler())
	defer s.Close()
	post := func(call, token string) (int, string) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		// Garbage: a call that looks at it fails otherwise than one that does not.
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+call, strings.NewReader("garbage"))
		must(t, err)
		r.Header.Set("Content-Type", "application/json")
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		answer, err := http.DefaultClient.Do(r)
		must(t, err)
		defer func() { _ = answer.Body.Close() }()
		body := make([]byte, 4096)
		k, _ := answer.Body.Read(body)
		return answer.StatusCode, string(body[:k])
	}
	defer http.DefaultClient.CloseIdleConnections()
	tokens := map[policystore.Role]string{}
	for _, role := range []policystore.Role{policystore.Viewer, policystore.Operator, policystore.PolicyAdmin, policystore.Admin} {
		made, err := n.Policies.CreateToken(t.Context(), connect.NewRequest(&pb.CreateTokenRequest{Name: role.String(), Role: role.String()}))
		must(t, err)
		tokens[role] = made.Msg.GetSecret()
	}
	for call, least := range server.Roles() {
		if !least.Valid() { // it is open
			continue
		}
		if status, body := post(call, ""); status != http.StatusUnauthorized {
			t.Errorf("%s by nobody: %d %s", call, status, body)
		}
		for role, token := range tokens {
			status, body := post(call, token)
			if refused := status == http.StatusForbidden; refused != (role < least) {
				t.Errorf("%s by %s: %d %s", call, role, status, body)
			}
		}
	}
	for _, call := range server.OfNodes() {
		for role, token := range tokens {
			if status, body := post(call, token); status != http.StatusForbidden {
				t.Errorf("%s, which is for nodes, by %s: %d %s", call, role, status, body)
			}
		}
	}
	if status, _ := post("/pyisolate.v1.PolicyService/Nothing", tokens[policystore.Admin]); status != http.StatusNotFound {
		t.Errorf("a call that is none: %d", status)
	}
}

// What a token is made with is judged.
func TestCreateTokenRefuses(t *testing.T) {
	n := newNode(t)
	for name, r := range map[string]*pb.CreateTokenRequest{
		"a user's name":       {Name: "uid:0", Role: "viewer"},
		"no name":             {Role: "viewer"},
		"no role":             {Name: "x"},
		"a role that is none": {Name: "x", Role: "root"},
		"a bad tenant":        {Name: "x", Role: "viewer", Tenant: "a/b"},
		"a negative lifetime": {Name: "x", Role: "viewer", Lifetime: durationpb.New(-time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := n.Policies.CreateToken(t.Context(), connect.NewRequest(r)); !errors.Is(err, policystore.ErrInvalid) {
				t.Errorf("error %v", err)
			}
		})
	}
	tokens, err := n.Policies.ListTokens(t.Context(), connect.NewRequest(&pb.ListTokensRequest{}))
	if err != nil || len(tokens.Msg.GetTokens()) != 0 {
		t.Errorf("tokens %v, %v", tokens, err)
	}
}

// A token that has expired is none.
func TestTokenExpires(t *testing.T) {
	n := newNode(t)
	made, err := n.Policies.CreateToken(t.Context(), connect.NewRequest(&pb.CreateTokenRequest{Name: "x", Role: "viewer", Lifetime: durationpb.New(2 * time.Second)}))
	must(t, err)
	await.That(t, "the token has expired", func() bool {
		_, err := n.overHTTPS(t, made.Msg.GetSecret()).Policies.List(t.Context(), connect.NewRequest(&pb.ListRequest{}))
		return errors.Is(err, policystore.ErrUnauthenticated)
	})
}

// What a principal of a tenant reaches.
func TestTenants(t *testing.T) {
	n := newNode(t)
	for _, name := range []string{"shared", "a/p", "b/p"} {
		n.put(t, name, "math")
	}
	a, _ := n.as(t, "admin", "a")
	spawn := func(tenant, policy string) error {
		_, err := a.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Tenant: tenant, Policy: &pb.PolicyRef{Name: policy}}))
		return err
	}
	_, err := n.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Tenant: "b", Name: "c", Policy: &pb.PolicyRef{Name: "b/p"}}))
	must(t, err)
	for _, c := range []struct {
		name    string
		allowed bool
		do      func() error
	}{
		{"read its own", true, func() error {
			_, err := a.Policies.Get(t.Context(), connect.NewRequest(&pb.GetRequest{Name: "a/p"}))
			return err
		}},
		{"read what is shared", true, func() error {
			_, err := a.Policies.Get(t.Context(), connect.NewRequest(&pb.GetRequest{Name: "shared"}))
			return err
		}},
		{"read another's", false, func() error {
			_, err := a.Policies.Get(t.Context(), connect.NewRequest(&pb.GetRequest{Name: "b/p"}))
			return err
		}},
		{"read what another has not", false, func() error {
			_, err := a.Policies.Get(t.Context(), connect.NewRequest(&pb.GetRequest{Name: "b/q"}))
			return err
		}},
		{"another's history", false, func() error {
			_, err := a.Policies.History(t.Context(), connect.NewRequest(&pb.HistoryRequest{Name: "b/p"}))
			return err
		}},
		{"change its own", true, func() error {
			_, err := a.Policies.Put(t.Context(), connect.NewRequest(&pb.PutRequest{Name: "a/p", Text: permits("json")}))
			return err
		}},
		{"change what is shared", false, func() error {
			_, err := a.Policies.Put(t.Context(), connect.NewRequest(&pb.PutRequest{Name: "shared", Text: permits("json")}))
			return err
		}},
		{"change another's", false, func() error {
			_, err := a.Policies.Delete(t.Context(), connect.NewRequest(&pb.DeleteRequest{Name: "b/p"}))
			return err
		}},
		{"pull another's", false, func() error {
			_, err := a.Policies.Pull(t.Context(), connect.NewRequest(&pb.PullRequest{Name: "b/p", Url: "https://example.com"}))
			return err
		}},
		{"end another's source", false, func() error {
			_, err := a.Policies.RemoveSource(t.Context(), connect.NewRequest(&pb.RemoveSourceRequest{Name: "b/p"}))
			return err
		}},
		{"the audit log of all", false, func() error {
			_, err := a.Policies.Audit(t.Context(), connect.NewRequest(&pb.AuditRequest{}))
			return err
		}},
		{"a token for itself", true, func() error {
			_, err := a.Policies.CreateToken(t.Context(), connect.NewRequest(&pb.CreateTokenRequest{Name: "x", Role: "viewer", Tenant: "a"}))
			return err
		}},
		{"a token for all", false, func() error {
			_, err := a.Policies.CreateToken(t.Context(), connect.NewRequest(&pb.CreateTokenRequest{Name: "x", Role: "viewer"}))
			return err
		}},
		{"a cell of its own", true, func() error { return spawn("", "a/p") }},
		{"a cell under a shared policy", true, func() error { return spawn("a", "shared") }},
		{"a cell under another's policy", false, func() error { return spawn("a", "b/p") }},
		{"another's cell", false, func() error { return spawn("b", "shared") }},
		{"look at another's cell", false, func() error {
			_, err := a.Cells.Inspect(t.Context(), connect.NewRequest(&pb.InspectRequest{Tenant: "b", Name: "c"}))
			return err
		}},
		{"list another's cells", false, func() error {
			_, err := a.Cells.List(t.Context(), connect.NewRequest(&pb.ListCellsRequest{Tenant: "b"}))
			return err
		}},
		{"use another's cell", false, func() error {
			_, err := a.Cells.Exec(t.Context(), connect.NewRequest(&pb.ExecRequest{Tenant: "b", Name: "c"}))
			return err
		}},
		{"end another's cell", false, func() error {
			_, err := a.Cells.Kill(t.Context(), connect.NewRequest(&pb.KillRequest{Tenant: "b", Name: "c"}))
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.do()
			if c.allowed && err != nil || !c.allowed && !errors.Is(err, policystore.ErrDenied) {
				t.Errorf("error %v, allowed %t", err, c.allowed)
			}
		})
	}
	mine, err := a.Cells.List(t.Context(), connect.NewRequest(&pb.ListCellsRequest{}))
	must(t, err)
	for _, r := range mine.Msg.GetReports() {
		if r.GetCell().GetTenant() != "a" {
			t.Errorf("lists %v", r.GetCell())
		}
	}
}

// A policy of one tenant confines no cell of another, whoever asks.
func TestPolicyOfAnotherTenant(t *testing.T) {
	n := newNode(t)
	n.put(t, "b/p", "math")
	_, err := n.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Tenant: "a", Policy: &pb.PolicyRef{Name: "b/p"}}))
	if !errors.Is(err, policystore.ErrDenied) {
		t.Errorf("error %v", err)
	}
}

func TestTokenOverHTTPS(t *testing.T) {
	n := newNode(t)
	n.put(t, "web", "math")
	made, err := n.Policies.CreateToken(t.Context(), connect.NewRequest(&pb.CreateTokenRequest{Name: "v", Role: "viewer"}))
	must(t, err)
	get := func(token string) error {
		_, err := n.overHTTPS(t, token).Policies.Get(t.Context(), connect.NewRequest(&pb.GetRequest{Name: "web"}))
		return err
	}
	for _, c := range []struct {
		name, token string
		want        error
	}{
		{"good", made.Msg.GetSecret(), nil},
		{"none", "", policystore.ErrUnauthenticated},
		{"garbage", "garbage", policystore.ErrUnauthenticated},
		{"one letter changed", made.Msg.GetSecret()[:len(made.Msg.GetSecret())-1] + "!", policystore.ErrUnauthenticated},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := get(c.token); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
	_, err = n.Policies.RevokeToken(t.Context(), connect.NewRequest(&pb.RevokeTokenRequest{Id: made.Msg.GetToken().GetId()}))
	must(t, err)
	if err := get(made.Msg.GetSecret()); !errors.Is(err, policystore.ErrUnauthenticated) {
		t.Errorf("with a revoked token: %v", err)
	}
}

// A call that has no deadline ends when its token does.
func TestRevokedTokenEndsItsWatch(t *testing.T) {
	n := newNode(t)
	viewer, id := n.as(t, "viewer", "")
	watch, err := viewer.Policies.Watch(t.Context(), connect.NewRequest(&pb.WatchRequest{}))
	must(t, err)
	defer func() { _ = watch.Close() }()
	n.put(t, "web", "math")
	if !watch.Receive() {
		t.Fatal(watch.Err())
	}
	// Others' failures from where the watcher is do not matter to him.
	stranger, err := client.New(client.Config{Socket: n.socket, Token: "nonsense"})
	must(t, err)
	defer stranger.Close()
	await.That(t, "a stranger has failed too often", func() bool {
		_, err := stranger.Policies.List(t.Context(), connect.NewRequest(&pb.ListRequest{}))
		return errors.Is(err, policystore.ErrLimited)
	})
	if _, err := viewer.Policies.List(t.Context(), connect.NewRequest(&pb.ListRequest{})); err != nil {
		t.Fatalf("a valid token after failures: %v", err)
	}
	_, err = n.Policies.RevokeToken(t.Context(), connect.NewRequest(&pb.RevokeTokenRequest{Id: id}))
	must(t, err)
	for watch.Receive() {
		t.Log(watch.Msg())
	}
	if !errors.Is(watch.Err(), policystore.ErrUnauthenticated) {
		t.Errorf("the watch ended with %v", watch.Err())
	}
}

// Somebody whom nobody knows is answered before his body is read.
func TestBodyIsNotReadForStrangers(t *testing.T) {
	n := newNode(t)
	s := httptest.NewServer(n.server.Handler())
	defer s.Close()
	body := &endless{}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/pyisolate.v1.CellService/Exec", body)
	must(t, err)
	r.Header.Set("Content-Type", "application/proto")
	answer, err := http.DefaultClient.Do(r)
	defer http.DefaultClient.CloseIdleConnections()
	if err == nil {
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("status %d", answer.StatusCode)
		}
	}
	if sent := body.sent.Load(); sent > 8<<20 {
		t.Errorf("%d bytes were read", sent)
	}
}

type endless struct{ sent atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.sent.Add(int64(len(p))) > 64<<20 {
		return 0, errors.New("enough")
	}
	return len(p), nil
}
