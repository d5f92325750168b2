package enroll

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/pyisolate/pyisolate/cluster/control"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/wire"
	"github.com/pyisolate/pyisolate/internal/await"
)

// A new node joins, is let in with what it got, and renews it.
func TestLifeOfANode(t *testing.T) {
	f := found(t, wire.Limits{})
	f.serve(t, nil)
	at := control.Open(f.wire, nil)
	defer func() { _ = at.Close() }()
	var noted []string
	full := errors.New("it cannot be agreed")
	fail := error(nil)
	note := func(_ context.Context, node string, key [sha256.Size]byte, until time.Time) error {
		noted = append(noted, fmt.Sprintf("%s %x %v", node, key, time.Until(until) > 59*time.Minute))
		return fail
	}
	if err := at.Handle(Topic, Renewer(f.authority, time.Hour, note)); err != nil {
		t.Fatal(err)
	}
	id, a, err := joinAs(t.Context(), f.invite(t, "", time.Hour), "second", "127.0.0.1:7", "")
	if err != nil {
		t.Fatal(err)
	}
	if id.Name() != "second" || id.Cluster() != f.authority.Cluster() || string(a.Roster) != f.wire.Addr().String() || f.nodes["second"] != "127.0.0.1:7" {
		t.Errorf("%s, %+v, %v", id.Name(), a.Roster, f.nodes)
	}
	before := id.Serial()
	c := control.Open(f.listen(t, id, wire.Limits{}), nil)
	defer func() { _ = c.Close() }()
	none := SignedBy(c, func() []string { return nil })
	if err := id.Renew(t.Context(), none); !errors.Is(err, control.ErrNotDone) {
		t.Errorf("nobody signs: %v", err)
	}
	sign := SignedBy(c, func() []string { return []string{"nobody", "first"} })
	if err := id.Renew(t.Context(), sign); err != nil || id.Serial().Cmp(before) == 0 {
		t.Errorf("renewal: %v", err)
	}
	if want := fmt.Sprintf("second %x true", id.Key()); len(noted) != 1 || noted[0] != want {
		t.Errorf("noted %v, not %s", noted, want)
	}
	fail = full
	if err := id.Renew(t.Context(), sign); err == nil || !strings.Contains(err.Error(), full.Error()) {
		t.Errorf("renewed with a key that nobody knows: %v", err)
	}
	if _, err := sign(t.Context(), []byte("garbage")); err == nil {
		t.Error("garbage was signed")
	}
}

// Each time another node is asked first, so that none whose signatures are of no use is in the way for ever.
func TestSignedByTurns(t *testing.T) {
	f := found(t, wire.Limits{})
	f.serve(t, nil)
	open := func(name string) *control.Control {
		id, _, err := joinAs(t.Context(), f.invite(t, "", time.Hour), name, "127.0.0.1:7", "")
		if err != nil {
			t.Fatal(err)
		}
		w := f.listen(t, id, wire.Limits{})
		f.mu.Lock()
		f.nodes[name] = w.Addr().String()
		f.mu.Unlock()
		c := control.Open(w, nil)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	for _, name := range []string{"a", "b"} {
		err := open(name).Handle(Topic, func(context.Context, string, []byte) ([]byte, error) { return []byte(name), nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	sign := SignedBy(open("c"), func() []string { return []string{"a", "b", "nobody"} })
	var signed []string
	for range 4 {
		by, err := sign(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		signed = append(signed, string(by))
	}
	if want := []string{"a", "b", "a", "a"}; !reflect.DeepEqual(signed, want) {
		t.Errorf("%v signed, in the turns of %v", signed, want)
	}
}

func TestRefused(t *testing.T) {
	f := found(t, wire.Limits{})
	f.serve(t, nil)
	used := f.invite(t, "", time.Hour)
	if _, _, err := joinAs(t.Context(), used, "second", "h:7", ""); err != nil {
		t.Fatal(err)
	}
	unknown, err := pki.NewToken(f.authority.Fingerprint(), used.Addresses)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := pki.NewToken(pki.Fingerprint{}, used.Addresses)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		token         pki.Token
		node, address string
		is            error
	}{
		"unknown":         {unknown, "third", "h:7", pki.ErrToken},
		"another cluster": {foreign, "third", "h:7", pki.ErrFingerprint},
		"used":            {used, "second", "h:7", pki.ErrUsed},
		"lapsed":          {f.invite(t, "", time.Nanosecond), "third", "h:7", pki.ErrLapsed},
		"named":           {f.invite(t, "fourth", time.Hour), "third", "h:7", pki.ErrToken},
		"taken":           {f.invite(t, "", time.Hour), "first", "h:7", ErrName},
		"bad name":        {f.invite(t, "", time.Hour), "Third", "h:7", nil},
		"bad address":     {f.invite(t, "", time.Hour), "third", "h", nil},
	} {
		id, _, err := joinAs(t.Context(), c.token, c.node, c.address, "")
		if err == nil || id != nil || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.fail = errors.New("the leader is secret-host-17")
	if _, _, err := joinAs(t.Context(), f.invite(t, "", time.Hour), "third", "h:7", ""); !errors.Is(err, ErrNotNow) || strings.Contains(err.Error(), "secret") {
		t.Errorf("of what is no stranger's business: %v", err)
	}
	if f.signed != 1 {
		t.Errorf("%d certificates were signed", f.signed)
	}
}

// mute loses the first answers.
type mute struct {
	net.Listener
	left *atomic.Int32
}

type muted struct{ net.Conn }

func (l mute) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil && l.left.Add(-1) >= 0 {
		c = muted{c}
	}
	return c, err
}

func (c muted) Write([]byte) (int, error) { return 0, errors.Join(io.ErrClosedPipe, c.Close()) }

func TestLostAnswer(t *testing.T) {
	for lost, ok := range map[int32]bool{attempts - 1: true, attempts: false} {
		f := found(t, wire.Limits{})
		left := &atomic.Int32{}
		left.Store(lost)
		f.serve(t, func(l net.Listener) net.Listener { return mute{l, left} })
		_, _, err := joinAs(t.Context(), f.invite(t, "", time.Hour), "second", "h:7", "")
		if (err == nil) != ok || f.signed != attempts {
			t.Errorf("%d answers lost: %v; %d certificates", lost, err, f.signed)
		}
	}
}

func TestHostile(t *testing.T) {
	f := found(t, wire.Limits{JoinTime: 500 * time.Millisecond})
	f.serve(t, nil)
	tok := f.invite(t, "", time.Hour)
	for name, text := range map[string]string{
		"nothing":   "",
		"garbage":   "\x00\x01\x02",
		"no object": "[]",
		"half":      `{"name":"x"`,
		"endless":   `{"name":"` + strings.Repeat("x", 4*MaxPetition),
		"deep":      strings.Repeat(`{"a":`, 2000),
		"bad name":  `{"name":"../x","address":"h:1"}`,
		"no key":    `{"name":"x","address":"h:1","token":"` + tok.ID() + `"}`,
	} {
		var c net.Conn
		await.That(t, "a connection", func() (is bool) { // a busy machine may not make one in its time
			var err error
			c, _, err = wire.DialJoin(t.Context(), tok)
			return err == nil
		})
		_, _ = io.WriteString(c, text)
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		answer, err := io.ReadAll(io.LimitReader(c, 1<<16))
		var late net.Error
		if errors.As(err, &late) && late.Timeout() || bytes.Contains(answer, []byte(`"certificate"`)) {
			t.Errorf("%s: %q, %v", name, answer, err)
		}
		_ = c.Close()
	}
	if f.signed != 0 {
		t.Errorf("%d certificates were signed", f.signed)
	}
	r, err := pki.NewRequest("second")
	if err != nil {
		t.Fatal(err)
	}
	await.That(t, "after all that one joins", func() bool {
		_, _, err := Join(t.Context(), tok, r, "h:7", "")
		return err == nil
	})
}

// A stranger fills no log.
func TestStrangersAreLoggedSomeTimes(t *testing.T) {
	f := found(t, wire.Limits{})
	var log bytes.Buffer
	serving, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Serve(serving, f.wire.Listener(wire.Join), Config{Admit: f.admit, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	}()
	unknown, err := pki.NewToken(f.authority.Fingerprint(), []string{f.wire.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	const many = 50
	begun := time.Now()
	for range many {
		await.That(t, "it is refused", func() bool {
			_, _, err := joinAs(t.Context(), unknown, "third", "h:7", "")
			return errors.Is(err, pki.ErrToken)
		})
	}
	most := 6 + int(time.Since(begun).Seconds())
	if _, _, err := joinAs(t.Context(), f.invite(t, "", time.Hour), "second", "h:7", ""); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if lines := strings.Count(log.String(), "is not admitted"); lines == 0 || lines > min(most, many-1) {
		t.Errorf("%d lines of %d, no more than %d are right", lines, many, most)
	}
	if !strings.Contains(log.String(), "a node is admitted") {
		t.Error("there is no line of the one that was let in")
	}
}

func TestServeEnds(t *testing.T) {
	f := found(t, wire.Limits{})
	ctx, cancel := context.WithCancel(t.Context())
	began := make(chan struct{})
	begin := sync.OnceFunc(func() { close(began) }) // it may come again when it is cut off
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, f.wire.Listener(wire.Join), Config{Admit: func(ctx context.Context, _ Petition) (Admission, error) {
			begin()
			<-ctx.Done()
			return Admission{}, ctx.Err()
		}})
	}()
	joined := make(chan error, 1)
	tok := f.invite(t, "", time.Hour)
	join := func() {
		_, _, err := joinAs(t.Context(), tok, "second", "h:7", "")
		joined <- err
	}
	await.That(t, "new nodes are heard", func() bool {
		c, _, err := wire.DialJoin(t.Context(), tok)
		return err == nil && c.Close() == nil
	})
	go join()
	<-began
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := <-joined; err == nil {
		t.Error("it was admitted")
	}
	short, stop := context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	if _, _, err := joinAs(short, tok, "second", "h:7", ""); err == nil {
		t.Error("it was admitted by nobody")
	}
}

func TestKeep(t *testing.T) {
	a, err := pki.Create("test")
	if err != nil {
		t.Fatal(err)
	}
	r, err := pki.NewRequest("one")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Sign(r.DER(), "one", pki.MinLife) // is due at once: it begins in the past
	if err != nil {
		t.Fatal(err)
	}
	id, err := r.Accept(cert, a.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	sign := func(_ context.Context, request []byte) ([]byte, error) {
		if calls++; calls < 10 {
			return nil, errors.New("no leader")
		}
		return a.Sign(request, "one", 24*time.Hour)
	}
	var pauses []time.Duration
	now := make(chan time.Time)
	close(now)
	keep(ctx, id, sign, slog.New(slog.DiscardHandler), func(d time.Duration) <-chan time.Time {
		pauses = append(pauses, d)
		if len(pauses) == 11 {
			cancel()
			return nil
		}
		return now
	})
	want := []time.Duration{soon, 2 * soon, 4 * soon, 8 * soon, 16 * soon, 32 * soon, late, late, late, 0, look}
	if !reflect.DeepEqual(pauses, want) {
		t.Errorf("pauses %v, %v are right", pauses, want)
	}
	if time.Until(id.NotAfter()) < time.Hour {
		t.Errorf("it lasts until %s", id.NotAfter())
	}
}

func TestPetitionBounds(t *testing.T) {
	const text = `{"name":"one","address":"h:1","token":"TOKEN"}`
	for size, ok := range map[int]bool{16: true, MaxPetition: false} {
		_, err := readPetition(strings.NewReader(strings.Replace(text, "TOKEN", strings.Repeat("0", size), 1)))
		if (err == nil) != ok {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func FuzzPetition(f *testing.F) {
	f.Add([]byte(`{"token":"00","secret":"AAAA","name":"one","request":"AAAA","address":"h:1"}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := readPetition(bytes.NewReader(b))
		if err == nil && (!pki.ValidName(p.Name) || pki.ValidAddress(p.Address) != nil) {
			t.Errorf("%+v", p)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"certificate":"AAAA","nodes":{"one":"h:1"}}`))
	f.Add([]byte(`{"refused":"token","text":"no"}`))
	f.Add([]byte(`{"refused":""}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := readAnswer(bytes.NewReader(b)); err != nil && a.Certificate != nil {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

func BenchmarkJoin(b *testing.B) {
	f := found(b, wire.Limits{Rate: 1e6, Burst: 1e6})
	f.serve(b, nil)
	for b.Loop() {
		if _, _, err := joinAs(b.Context(), f.invite(b, "", time.Hour), "second", "h:7", ""); err != nil {
			b.Fatal(err)
		}
	}
}

// joinAs joins with a key that nobody has seen.
func joinAs(ctx context.Context, t pki.Token, name, address, gossip string) (*pki.Identity, Admission, error) {
	r, err := pki.NewRequest(name)
	if err != nil {
		return nil, Admission{}, err
	}
	return Join(ctx, t, r, address, gossip)
}

// What a stranger sends is cut before it is logged.
func TestStrangersLogLittle(t *testing.T) {
	var log bytes.Buffer
	refusing := Config{
		Logger: slog.New(slog.NewTextHandler(&log, nil)), quiet: rate.NewLimiter(rate.Inf, 1),
		Admit: func(_ context.Context, p Petition) (Admission, error) {
			return Admission{}, fmt.Errorf("%w: there is none of %s", pki.ErrToken, p.Token)
		},
	}
	long := strings.Repeat("7", MaxPetition-100)
	for name, sent := range map[string]string{
		"token":    `{"name":"n2","address":"h:7","token":"` + long + `"}`,
		"name":     `{"name":"` + long + `"}`,
		"address":  `{"name":"n2","address":"` + long + `"}`,
		"gossip":   `{"name":"n2","address":"h:7","gossip":"` + long + `"}`,
		"a number": `{"token":` + long + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			log.Reset()
			here, there := net.Pipe()
			var stranger sync.WaitGroup
			stranger.Go(func() {
				_, _ = io.WriteString(there, sent)
				_, _ = io.Copy(io.Discard, there)
			})
			refusing.answer(t.Context(), here)
			_ = here.Close()
			stranger.Wait()
			if n := log.Len(); n == 0 || n > 1<<10 {
				t.Errorf("%d bytes are logged: %.200s", n, &log)
			}
		})
	}
}
