package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/pyisolate/pyisolate/actors"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/checkpoint"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// behind is the fabric of n1, which knows what was agreed once it has asked.
type behind struct {
	Fabric
	agreed, known Place
	fails         error
	asked         func() // what happens while it asks; nil: nothing
}

func (f *behind) Self() string { return "n1" }

func (f *behind) Refresh(context.Context) error {
	if f.asked != nil {
		f.asked()
	}
	if f.fails == nil {
		f.known = f.agreed
	}
	return f.fails
}

func (f *behind) Find(actors.Address) (Place, bool) { return f.known, f.known.Node != "" }

// savedBy makes a checkpoint of cell default/web with an id, in an archive.
func savedBy(t *testing.T, s *cells, cellID string) checkpoint.Info {
	t.Helper()
	terms, err := proto.Marshal(&pb.SpawnRequest{RequestId: cellID})
	if err != nil {
		t.Fatal(err)
	}
	draft, err := s.checkpoints.Archive.Seal(checkpoint.Header{Tenant: "default", Cell: "web", Epoch: 7, Python: "cpython-314", Created: time.Now()}, terms, nil)
	if err != nil {
		t.Fatal(err)
	}
	info, err := draft.Keep()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// emptyArchive has no checkpoint.
func emptyArchive(t *testing.T) *checkpoint.Archive {
	t.Helper()
	dir := t.TempDir()
	ring, err := checkpoint.OpenRing(filepath.Join(dir, "ring"), nil)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := checkpoint.OpenArchive(filepath.Join(dir, "archive"), ring, checkpoint.Bounds{})
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

// withArchive are cells whose checkpoints are kept in a directory of the test's, and their log.
func withArchive(t *testing.T, f Fabric) (s *cells, log *bytes.Buffer) {
	t.Helper()
	archive := emptyArchive(t)
	log = &bytes.Buffer{}
	return &cells{fabric: f, checkpoints: &Checkpoints{Archive: archive}, logger: slog.New(slog.NewTextHandler(log, nil))}, log
}

// A copy is removed when the cluster does not count on it, which the cluster is asked, and the log tells.
func TestACopyThatNobodyNeedsIsRemoved(t *testing.T) {
	f := &behind{}
	s, log := withArchive(t, f)
	s.checkpoints.Archive.Pin(func(i checkpoint.Info) bool {
		p, known := f.Find(actors.Address{Tenant: i.Header.Tenant, Name: i.Header.Cell})
		return known && p.Needs(f.Self(), i.ID)
	})
	i := savedBy(t, s, "")
	f.agreed = Place{Node: "n2", Checkpoint: i.ID, Copies: []string{"n1", "n2"}}
	there := func() bool { _, err := s.checkpoints.Archive.Get(i.ID); return err == nil }
	ts := newTransfers(t.Context(), s)
	if err := ts.keepCopy(i.ID); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ts.ownCopy(i.ID) }) // its timer ends
	f.fails = errors.New("nobody answers")
	ts.lookAfter(i.ID)
	if !there() {
		t.Fatal("it is removed by a node that does not know what is agreed")
	}
	f.fails = nil
	ts.lookAfter(i.ID)
	if !there() || ts.replicas[i.ID] == nil {
		t.Fatal("the cluster counts on it, and it is removed, or looked after no more")
	}
	f.agreed.Checkpoint = "a newer one"
	ts.lookAfter(i.ID)
	if there() || ts.replicas[i.ID] != nil || !strings.Contains(log.String(), i.ID) {
		t.Errorf("it is there: %t; the log: %s", there(), log)
	}
}

// A copy that becomes this node's own while the cluster is asked is not removed.
func TestWhatIsNoCopyAnyMoreStays(t *testing.T) {
	f := &behind{}
	s, _ := withArchive(t, f)
	i := savedBy(t, s, "")
	ts := newTransfers(t.Context(), s)
	if err := ts.keepCopy(i.ID); err != nil {
		t.Fatal(err)
	}
	f.asked = func() { ts.ownCopy(i.ID) }
	ts.lookAfter(i.ID)
	if _, err := s.checkpoints.Archive.Get(i.ID); err != nil {
		t.Error(err)
	}
}

// onLog does something when something is logged.
type onLog struct {
	slog.Handler
	do func()
}

func (h onLog) Enabled(context.Context, slog.Level) bool { return true }

func (h onLog) Handle(context.Context, slog.Record) error { h.do(); return nil }

// A copy that comes once more when it has just been removed is looked after.
func TestACopyThatComesOnceMoreIsLookedAfter(t *testing.T) {
	f := &behind{}
	s, _ := withArchive(t, f)
	i := savedBy(t, s, "")
	var file bytes.Buffer
	if err := s.checkpoints.Archive.Export(i.ID, nil, &file); err != nil {
		t.Fatal(err)
	}
	ts := newTransfers(t.Context(), s)
	again := func() {
		if _, err := s.checkpoints.Archive.Import(&file, nil, func(checkpoint.Header) error { return nil }); err != nil {
			t.Error(err)
		}
		if err := ts.keepCopy(i.ID); err != nil {
			t.Error(err)
		}
	}
	s.logger = slog.New(onLog{slog.DiscardHandler, again})
	if err := ts.keepCopy(i.ID); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ts.ownCopy(i.ID) })
	ts.lookAfter(i.ID)
	if ts.replicas[i.ID] == nil {
		t.Error("nobody looks after it")
	}
	if err := s.checkpoints.Archive.Remove(i.ID); !errors.Is(err, checkpoint.ErrPinned) {
		t.Errorf("it is not held until there was time to agree on it: %v", err)
	}
}

// A cell whose newest checkpoint was removed goes on from the newest of its own that is left, and else from none.
func TestARestartAfterItsCheckpointIsRemoved(t *testing.T) {
	s, log := withArchive(t, nil)
	e := newEntry(cellKey{"default", "web"}, terms{}, actors.ID{})
	e.now = &resident{}
	by := &document.Restart{Strategy: "checkpoint"}
	older, newest := savedBy(t, s, e.id), savedBy(t, s, e.id)
	savedBy(t, s, "an earlier cell of the name")
	e.saved(newest.ID)
	for _, want := range []string{newest.ID, older.ID, ""} {
		if got := s.stateOf(e, by); got != want {
			t.Errorf("it begins with %q, not %q", got, want)
		}
		if told := strings.Contains(log.String(), newest.ID); told != (want != newest.ID) {
			t.Errorf("of %q the log tells: %s", want, log)
		}
		if want != "" {
			if err := s.checkpoints.Archive.Remove(want); err != nil {
				t.Fatal(err)
			}
		}
	}
}
