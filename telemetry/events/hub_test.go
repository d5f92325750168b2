package events

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/pyisolate/pyisolate/cell"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Whatever is published by whomever, what a reader gets of it adds up.
func TestHubProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keep := rapid.IntRange(1, 12).Draw(t, "keep")
		h := newRestedHub(keep)
		all := map[uint64]Event{}
		for range rapid.IntRange(0, 200).Draw(t, "events") {
			e := Event{Kind: rapid.SampledFrom([]Kind{CellStarted, CellEnded, HostEnded}).Draw(t, "kind"),
				Tenant: rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "tenant"), Message: rapid.String().Draw(t, "message")}
			h.Publish(e)
			e.Index = uint64(len(all) + 1)
			all[e.Index] = e
		}
		from := rapid.Uint64Range(0, uint64(len(all))).Draw(t, "from")
		got, lost, next, more := h.Since(from)
		if next != uint64(len(all)) || lost+uint64(len(got)) != next-from {
			t.Fatalf("%d events, %d lost, next %d, after %d of %d", len(got), lost, next, from, len(all))
		}
		checkKept(t, got, all, keep, from)
		if len(h.kept) > 2*keep {
			t.Fatalf("%d slots for %d events", len(h.kept), keep)
		}
		select {
		case <-more:
			t.Fatal("there is more, and there is not")
		default:
		}
		h.Publish(Event{Kind: NodeReady})
		<-more
	})
}

// newRestedHub is one between whose events there is so much time that nobody's budget is used up.
func newRestedHub(keep int) *Hub {
	h, now := NewHub(keep), time.Unix(1, 0)
	h.now = func() time.Time { now = now.Add(time.Second); return now }
	return h
}

func checkKept(t *rapid.T, got []Event, all map[uint64]Event, keep int, from uint64) {
	kept, published, last := map[holder]int{}, map[holder]int{}, from
	for _, e := range got {
		was := all[e.Index]
		if e.Index <= last || e.Kind != was.Kind || e.Tenant != was.Tenant || e.Message != Text(was.Message, MaxMessage) || e.At.IsZero() {
			t.Fatalf("event %+v after %d, published as %+v", e, last, was)
		}
		last = e.Index
		kept[e.holder()]++
	}
	if len(all) > 0 && from < uint64(len(all)) && last != uint64(len(all)) {
		t.Fatalf("the newest is %d of %d", last, len(all))
	}
	for i, e := range all {
		if i > from {
			published[e.holder()]++
		}
	}
	for who, n := range published { // there are five holders
		if kept[who] < min(n, keep/5) {
			t.Fatalf("%d events of %d of %+v in a hub of %d", kept[who], n, who, keep)
		}
	}
}

// Whoever something happens to often, the hosts' events included, takes nothing from one to whom
// little does, however long it goes on.
func TestNoisyTenant(t *testing.T) {
	for _, noise := range []Event{{Kind: CellStarted, Tenant: "noisy"}, {Kind: HostStarted}, {Kind: PolicyPut}} {
		h := newRestedHub(100)
		h.Publish(Event{Kind: Denied, Tenant: "quiet", Cell: "c"})
		h.Publish(Event{Kind: NodeReady, Tenant: "another"})
		for range 2000 {
			h.Publish(noise)
		}
		got, lost, _, _ := h.Since(0)
		if len(got) != 100 || got[0].Tenant != "quiet" || got[1].Tenant != "another" || lost != 1902 {
			t.Errorf("%s: %d kept, %d lost, first %+v", noise.Kind, len(got), lost, got[0])
		}
	}
}

// What hosts do takes nothing from what the node's own user does.
func TestNoisyHosts(t *testing.T) {
	h := newRestedHub(100)
	h.Publish(Event{Kind: PolicyPut})
	for range 2000 {
		h.Publish(Event{Kind: HostEnded})
	}
	if got, _, _, _ := h.Since(0); got[0].Kind != PolicyPut {
		t.Errorf("first %+v", got[0])
	}
}

// A hub does not know all tenants there ever were.
func TestManyTenants(t *testing.T) {
	h := newRestedHub(8)
	for i := range 2 * (8 + maxKnown) {
		h.Publish(Event{Kind: CellStarted, Tenant: fmt.Sprint(i)})
		h.Publish(Event{Kind: HostEnded})
	}
	if len(h.of) > 8+maxKnown || len(h.of) != len(h.shares) || h.Stats().Kept != 8 {
		t.Errorf("%d shares, %d in order, %d events", len(h.of), len(h.shares), h.Stats().Kept)
	}
}

// What guests bring about has a budget, and what is beyond it is told with the next.
func TestBudget(t *testing.T) {
	h := NewHub(0)
	now := time.Unix(1, 0)
	h.now = func() time.Time { return now }
	denied := func(tenant string) {
		h.Publish(Event{Kind: Denied, Tenant: tenant, Message: "no", Denial: &cell.Denial{Action: strings.Repeat("x", 4096)}})
	}
	for range budgetBurst + 7 {
		denied("a")
	}
	denied("b")
	h.Publish(Event{Kind: PolicyHotload, Tenant: "a"})
	now = now.Add(time.Second)
	denied("a")
	got, _, _, _ := h.Since(budgetBurst)
	if len(got) != 3 || got[0].Tenant != "b" || got[1].Kind != PolicyHotload || got[2].Message != "(7 before it are left out) no" {
		t.Errorf("events %+v", got)
	}
	if n := len(got[2].Denial.Action); n > maxField {
		t.Errorf("an action of %d bytes", n)
	}
	if s := h.Stats(); s.Suppressed[Denied] != 7 || s.Published[Denied] != budgetBurst+9 || s.Kept != budgetBurst+3 {
		t.Errorf("stats %+v", s)
	}
}

// A reader with an index of an earlier life of the node gets all there is.
func TestIndexOfAnotherLife(t *testing.T) {
	h := NewHubFrom(0, 1000)
	h.Publish(Event{Kind: NodeReady})
	h.Publish(Event{Kind: NodeReady, Tenant: "a"})
	for _, after := range []uint64{0, 7, 4711} {
		got, lost, next, _ := h.Since(after)
		if len(got) != 2 || got[0].Index != 1000 || lost != 0 || next != 1001 {
			t.Errorf("after %d: %+v, %d lost, next %d", after, got, lost, next)
		}
		if got, lost, _ := h.Reader("a", after).Next(); len(got) != 1 || lost != 0 {
			t.Errorf("a reader after %d: %+v, %d lost", after, got, lost)
		}
	}
	if got, lost, next, _ := h.Since(1001); len(got) != 0 || lost != 0 || next != 1001 {
		t.Errorf("then %+v, %d lost, next %d", got, lost, next)
	}
}

// Of what a reader is told to be missing, all is its tenant's; and together with what it gets, it is
// all that was published.
func TestReaderProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newRestedHub(rapid.IntRange(1, 12).Draw(t, "keep"))
		var all []Event
		publish := func(most int) {
			for range rapid.IntRange(0, most).Draw(t, "events") {
				e := Event{Kind: CellStarted, Tenant: rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "tenant")}
				h.Publish(e)
				all = append(all, e)
			}
		}
		count := func(tenant string, events []Event) (n int) {
			for _, e := range events {
				if tenant == "" || e.Tenant == tenant {
					n++
				}
			}
			return n
		}
		tenant := rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "reader")
		publish(100)
		from := rapid.IntRange(0, len(all)).Draw(t, "from")
		r := h.Reader(tenant, uint64(from))
		got, lost, _ := r.Next()
		of, since := count(tenant, all), count(tenant, all[from:])
		switch n := len(got) + int(lost); {
		case count(tenant, got) != len(got):
			t.Fatalf("%q reads %+v", tenant, got)
		case from == 0 && lost != 0, from > 0 && (n < since || n > of), from > 0 && tenant == "" && n != since:
			t.Fatalf("%d events and %d lost, of %d since %d, and %d in all", len(got), lost, since, from, of)
		}
		read, latest := len(all), h.Latest(tenant)
		publish(100)
		for _, r := range []*Reader{r, latest} {
			if got, lost, _ := r.Next(); len(got)+int(lost) != count(tenant, all[read:]) {
				t.Fatalf("then %d events and %d lost, of %d", len(got), lost, count(tenant, all[read:]))
			}
		}
	})
}

func TestNilHub(t *testing.T) {
	var h *Hub
	h.Publish(Event{Kind: NodeReady})
	got, lost, next, more := h.Since(3)
	if got != nil || lost != 0 || next != 3 || more != nil || h.Stats().Kept != 0 {
		t.Error("a nil hub has something")
	}
	for _, r := range []*Reader{h.Reader("", 3), h.Latest("a")} {
		if got, lost, more := r.Next(); got != nil || lost != 0 || more != nil {
			t.Error("a reader of a nil hub has something")
		}
	}
}

// Many who publish and many who read: each reader gets or misses each event once.
func TestReaders(t *testing.T) {
	const publishers, each, readers = 4, 2000, 32
	h := NewHub(64)
	var publish, read sync.WaitGroup
	for range readers {
		read.Go(func() {
			var next, seen, lost uint64
			for seen+lost < publishers*each {
				events, missed, to, more := h.Since(next)
				next, lost = to, lost+missed
				for _, e := range events {
					if seen++; e.Index > to {
						t.Errorf("index %d, up to %d", e.Index, to)
					}
				}
				if seen+lost < publishers*each {
					<-more
				}
			}
			if next != publishers*each {
				t.Errorf("ended at %d", next)
			}
		})
	}
	for range publishers {
		publish.Go(func() {
			for range each {
				h.Publish(Event{Kind: PolicyPut})
			}
		})
	}
	publish.Wait()
	read.Wait()
}

func TestText(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		most           int
	}{
		{"plain", "hello", "hello", 100},
		{"letters of others", "żółw 🐢", "żółw 🐢", 100},
		{"a forged line", "a\nERROR b\r\n", "a ERROR b  ", 100},
		{"an escape sequence", "\x1b[31mred\x9b", "·[31mred·", 100},
		{"turned around", "a\u202eb\u2028c", "a·b·c", 100},
		{"not UTF-8", "a\xff\xfeb", "a··b", 100},
		{"long", "abcdefghij", "abcde…", 8},
		{"cut within a letter", "żżżżż", "żż…", 8},
		{"grows", "\xff\xff\xff\xff", "·…", 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Text(c.in, c.most); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\x1b\xff…\u202e", 8)
	f.Fuzz(func(t *testing.T, s string, most int) {
		if most < 4 || most > 1<<20 {
			return
		}
		got := Text(s, most)
		if len(got) > most || !utf8.ValidString(got) || strings.IndexFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
			t.Errorf("%q within %d is %q", s, most, got)
		}
		if again := Text(got, most); again != got {
			t.Errorf("%q becomes %q", got, again)
		}
	})
}

func BenchmarkPublish(b *testing.B) {
	for _, readers := range []int{0, 100} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) {
			h, done := NewHub(0), make(chan struct{})
			var reading sync.WaitGroup
			for range readers { // who take a look and then wait for the end
				reading.Go(func() {
					_, _, _, _ = h.Since(0)
					<-done
				})
			}
			e := Event{Kind: PolicyHotload, Tenant: "acme", Cell: "worker", Message: "runs"}
			b.ReportAllocs()
			for b.Loop() {
				h.Publish(e)
			}
			close(done)
			reading.Wait()
		})
	}
}

func BenchmarkSince(b *testing.B) {
	h := NewHub(0)
	for i := range DefaultKeep {
		h.Publish(Event{Kind: PolicyHotload, Tenant: fmt.Sprint(i % 10)})
	}
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			_, _, _, _ = h.Since(0)
		}
	})
	b.Run("latest", func(b *testing.B) {
		for b.Loop() {
			_, _, _, _ = h.Since(DefaultKeep - 1)
		}
	})
}
