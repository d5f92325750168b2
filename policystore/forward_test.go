package policystore

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// TestForward makes every kind of change at a node that does not lead.
func TestForward(t *testing.T) {
	ctx, w := t.Context(), startGroup(t, 3)
	n := w.follower(t)
	if v, err := n.Put(ctx, acme, PutRequest{Name: "acme/p", Text: []byte("one"), Comment: "why", Source: "here"}); err != nil || v.Author != "ann" || v.Comment != "why" || v.Source != "here" || string(v.Text) != "one" {
		t.Fatalf("%+v, %v", v, err)
	}
	if v, err := n.Delete(ctx, acme, DeleteRequest{Name: "acme/p"}); err != nil || !v.Deleted || v.Number != 2 {
		t.Fatalf("%+v, %v", v, err)
	}
	if v, err := n.Rollback(ctx, acme, RollbackRequest{Name: "acme/p", To: 1}); err != nil || v.Source != "rollback:1" || v.Number != 3 {
		t.Fatalf("%+v, %v", v, err)
	}
	secret, info, err := n.CreateToken(ctx, root, TokenRequest{Name: "m", Role: Admin, Tenant: "acme"})
	if err != nil || info.Name != "m" || info.CreatedBy != "root" {
		t.Fatalf("%+v, %v", info, err)
	}
	for _, other := range w.all() { // some have not heard of it yet
		if p := authenticated(t, other, secret); p.TokenID != info.ID {
			t.Errorf("%s: %+v", other.id, p)
		}
	}
	p := authenticated(t, n, secret)
	began := time.Now()
	if i, err := n.RevokeToken(ctx, p, info.ID); err != nil || i.Revoked.IsZero() {
		t.Fatalf("%+v, %v", i, err)
	}
	if time.Since(began) >= catchUpTime { // it may have given up waiting for it to come here
		await.That(t, "the revocation to come here", func() bool { return n.TokenValid(ctx, info.ID) != nil })
	}
	if _, err := n.Authenticate(ctx, secret, "here"); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("with a revoked token, where it was revoked: %v", err)
	}
	if _, err := n.Put(ctx, p, PutRequest{Name: "acme/p", Text: []byte("two")}); !errors.Is(err, ErrDenied) {
		t.Errorf("with a revoked token: %v", err)
	}
	if _, err := w.leader(t, "").VerifyAudit(ctx); err != nil {
		t.Error(err)
	}
	w.waitEqual(t)
}

// authenticated is whose a secret is at a node. One that could not ask in time whether there is such a token says that,
// and is asked again.
func authenticated(t testing.TB, n *node, secret string) (p Principal) {
	t.Helper()
	await.That(t, n.id+" to have asked for the token", func() bool {
		var err error
		p, err = n.Authenticate(t.Context(), secret, "here")
		if errors.Is(err, ErrUnauthenticated) {
			t.Fatalf("%s: %v", n.id, err)
		}
		return err == nil
	})
	return p
}

// TestForwardedRefusals are the same errors as the leader's own.
func TestForwardedRefusals(t *testing.T) {
	ctx := t.Context()
	_, _, n := startPair(t)
	mustPut(t, n.Store, "p", "one")
	put := func(p Principal, r PutRequest) error {
		if r.Text == nil {
			r.Text = []byte("text")
		}
		_, err := n.Put(ctx, p, r)
		return err
	}
	remove := func(name string) error {
		_, err := n.Delete(ctx, editor, DeleteRequest{Name: name})
		return err
	}
	for name, c := range map[string]struct {
		err error
		is  error
	}{
		"expectation": {put(editor, PutRequest{Name: "p", Expect: number(7)}), ErrConflict},
		"role":        {put(reader, PutRequest{Name: "p"}), ErrDenied},
		"tenant":      {put(acme, PutRequest{Name: "p"}), ErrDenied},
		"no policy":   {remove("q"), ErrNotFound},
		"name":        {remove("/"), ErrInvalid},
		"no token":    {func() error { _, err := n.RevokeToken(ctx, root, "0000000000000001"); return err }(), ErrNotFound},
	} {
		if !errors.Is(c.err, c.is) || errors.Is(c.err, ErrUncertain) {
			t.Errorf("%s: %v, want %v", name, c.err, c.is)
		}
	}
}

// hostile asks the leader for something as a node would that does not check it.
func hostile(t *testing.T, w *network, q request) outcome {
	t.Helper()
	o, err := decodeAnswer(w.leader(t, "").Answer(t.Context(), "n9", q.encode()))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// vouch has others speak for all but the users of n1.
func vouch(_, name string) error {
	if strings.HasSuffix(name, "@n1") {
		return errors.New("not its own")
	}
	return nil
}

// TestHostileRequests asks the leader for what no honest node would: it judges all of it.
func TestHostileRequests(t *testing.T) {
	w := newNetwork()
	w.start(t, "n0", Config{Validate: ValidateDocuments(document.Options{})}, Cluster{Vouch: vouch, Bootstrap: []raft.Server{{ID: "n0", Address: "n0"}}})
	leader := w.leader(t, "")
	at := time.Unix(1_800_000_000, 0).UTC()
	good := func() *command {
		return &command{action: PutPolicy, time: at, principal: editor, name: "p", text: []byte("version: 1.0\nsandboxes: {main: {imports: [math]}}\n")}
	}
	if _, err := leader.Put(t.Context(), editor, PutRequest{Name: "p", Text: good().text}); err != nil {
		t.Fatal(err)
	}
	_, ci, err := leader.CreateToken(t.Context(), root, TokenRequest{Name: "ci", Role: PolicyAdmin})
	if err != nil {
		t.Fatal(err)
	}
	_, ending, err := leader.CreateToken(t.Context(), root, TokenRequest{Name: "ending", Role: Admin, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	token := func(i TokenInfo) *command {
		return &command{action: CreateToken, time: at, principal: root, token: tokenRecord{info: i, hash: [32]byte{1}}}
	}
	for name, c := range map[string]struct {
		change func(*command)
		base   *command
		is     error
	}{
		"document":       {func(c *command) { c.text = []byte("no: policy") }, good(), ErrInvalid},
		"no document":    {func(c *command) { c.text = nil }, good(), ErrInvalid},
		"name":           {func(c *command) { c.name = "../p" }, good(), ErrInvalid},
		"comment":        {func(c *command) { c.comment = "\x1b[2J" }, good(), ErrInvalid},
		"source":         {func(c *command) { c.source = "rollback:1" }, good(), ErrInvalid},
		"principal":      {func(c *command) { c.principal.Name = "a\nb" }, good(), ErrInvalid},
		"no role":        {func(c *command) { c.principal.Role = 9 }, good(), ErrInvalid},
		"little role":    {func(c *command) { c.principal.Role = Operator }, good(), ErrDenied},
		"another tenant": {func(c *command) { c.principal.Tenant = "acme" }, good(), ErrDenied},
		"no such token":  {func(c *command) { c.principal.TokenID = "00000000000000ff" }, good(), ErrDenied},
		"another's user": {func(c *command) { c.principal.Name = "uid:0@n1" }, good(), ErrDenied},
		"another's name": {func(c *command) { c.principal.TokenID = ci.ID }, good(), ErrDenied},
		"a token's role": {func(c *command) { c.principal = Principal{Name: "ci", Role: Admin, TokenID: ci.ID} }, token(TokenInfo{ID: "00000000000000ff", Name: "x", Role: Admin}), ErrDenied},
		"outliving":      {func(c *command) { c.principal = Principal{Name: "ending", Role: Admin, TokenID: ending.ID} }, token(TokenInfo{ID: "00000000000000fe", Name: "x", Role: Viewer}), ErrDenied},
		"rollback":       {func(c *command) { c.action, c.text, c.to = RollbackPolicy, nil, 7 }, good(), ErrNotFound},
		"first token":    {func(c *command) { c.action = FirstToken }, token(TokenInfo{ID: "00000000000000ff", Name: "x", Role: Admin}), ErrInvalid},
		"token's id":     {func(*command) {}, token(TokenInfo{ID: "id", Name: "x", Role: Admin}), ErrInvalid},
		"token's role":   {func(*command) {}, token(TokenInfo{ID: "00000000000000ff", Name: "x", Role: 9}), ErrInvalid},
		"token's name":   {func(*command) {}, token(TokenInfo{ID: "00000000000000ff", Name: "uid:0", Role: Admin}), ErrInvalid},
		"token's end":    {func(*command) {}, token(TokenInfo{ID: "00000000000000ff", Name: "x", Role: Admin, Expires: time.Unix(1_700_000_000, 0)}), ErrInvalid},
	} {
		c.change(c.base)
		if o := hostile(t, w, request{question: askCommit, command: c.base.encode()}); !errors.Is(o.err, c.is) || !strings.Contains(o.err.Error(), "asked by n9") {
			t.Errorf("%s: %+v, %v, want %v", name, o, o.err, c.is)
		}
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "noise": []byte("GET / HTTP/1.1"), "question": request{question: 9}.encode(), "no command": request{question: askCommit, command: nil}.encode(),
		"newer request": {9, 1, 0}, "newer command": request{question: askCommit, command: []byte{9}}.encode(),
	} {
		o, err := decodeAnswer(leader.Answer(t.Context(), "n9", b))
		if err != nil || !errors.Is(o.err, ErrInvalid) || strings.HasPrefix(name, "newer") && !strings.Contains(o.err.Error(), "update") {
			t.Errorf("%s: %v, %v", name, o.err, err)
		}
	}
	revoked := token(TokenInfo{ID: "00000000000000ff", Name: "x", Role: Viewer, Created: at, CreatedBy: "somebody", Revoked: at})
	if o := hostile(t, w, request{question: askCommit, command: revoked.encode()}); o.err != nil || !o.token.Revoked.IsZero() || o.token.CreatedBy != "root" {
		t.Errorf("%+v", o)
	}
}

// TestLostAnswers has the first answer to each change get lost: it is asked for again, and made once.
func TestLostAnswers(t *testing.T) {
	ctx := t.Context()
	w, _, n := startPair(t)
	mustPut(t, n.Store, "p", "one")
	sent := 0
	w.onCommit(func() (there, back bool) {
		sent++
		return true, sent%2 == 0
	})
	if v, err := n.Put(ctx, editor, PutRequest{Name: "p", Text: []byte("two")}); err != nil || v.Number != 2 {
		t.Errorf("put: %+v, %v", v, err)
	}
	if v, err := n.Delete(ctx, editor, DeleteRequest{Name: "p", Expect: number(2)}); err != nil || v.Number != 3 {
		t.Errorf("delete: %+v, %v", v, err)
	}
	secret, info, err := n.CreateToken(ctx, root, TokenRequest{Name: "m", Role: Viewer})
	if err != nil {
		t.Fatal(err)
	}
	authenticated(t, n, secret)
	if _, err := n.RevokeToken(ctx, root, info.ID); err != nil {
		t.Error(err)
	}
	if sent != 8 {
		t.Errorf("%d changes were sent", sent)
	}
	sum, err := n.VerifyAudit(ctx)
	if err != nil || sum.Records != 5 || sum.Versions != 3 {
		t.Errorf("%+v, %v", sum, err)
	}
}

// TestRefusedRepetition has a change get lost on the way, and refused when it is asked for again: as
// far as anybody knows it may still arrive.
func TestRefusedRepetition(t *testing.T) {
	ctx := t.Context()
	w, leader, n := startPair(t)
	mustPut(t, n.Store, "p", "one")
	sent := 0
	w.onCommit(func() (there, back bool) {
		if sent++; sent == 1 {
			mustPut(t, leader.Store, "p", "another's")
		}
		return sent > 1, true
	})
	_, err := n.Put(ctx, editor, PutRequest{Name: "p", Text: []byte("two"), Expect: number(1)})
	if !errors.Is(err, ErrUncertain) || errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "2; 1 was expected") {
		t.Error(err)
	}
}

// TestUncertain has nobody answer any more: what may have been made is told as that.
func TestUncertain(t *testing.T) {
	w, leader, n := startPair(t)
	mustPut(t, n.Store, "p", "one")
	for _, other := range w.all() {
		w.loseAnswers(other.id, true)
	}
	put := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		_, err := n.Put(ctx, editor, PutRequest{Name: "p", Text: []byte("two"), Expect: number(1), RequestID: "r"})
		return err
	}
	if err := put(time.Second); !errors.Is(err, ErrUncertain) || errors.Is(err, ErrNotLeader) {
		t.Error(err)
	}
	for _, other := range w.all() {
		w.loseAnswers(other.id, false)
	}
	if err := put(20 * time.Second); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if v, err := leader.Get(t.Context(), "p", 0, Linearizable); err != nil || v.Number != 2 {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestNobodyToAsk cuts a node off: it says that nothing was done, in the time that there is.
func TestNobodyToAsk(t *testing.T) {
	w, _, n := startPair(t)
	mustPut(t, n.Store, "p", "one")
	w.isolate(n.id, true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := n.Put(ctx, editor, PutRequest{Name: "p", Text: []byte("two")}); !errors.Is(err, ErrNotLeader) || errors.Is(err, ErrUncertain) {
		t.Error(err)
	}
	if _, err := n.Get(ctx, "p", 0, Linearizable); err == nil {
		t.Error("it promises what it cannot know")
	}
}

// TestClosing ends a node while a change waits for a leader.
func TestClosing(t *testing.T) {
	w := newNetwork()
	n := w.start(t, "n0", Config{}, Cluster{}) // nobody's member
	done := make(chan error, 1)
	go func() {
		_, err := n.Put(context.WithoutCancel(t.Context()), editor, PutRequest{Name: "p", Text: []byte("x")})
		done <- err
	}()
	mustClose(t, n.Store)
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if o, err := decodeAnswer(n.Answer(t.Context(), "n1", request{question: askApplied}.encode())); err != nil || !errors.Is(o.err, ErrNotLeader) {
		t.Errorf("%v, %v", o.err, err)
	}
}
