package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore"
)

// disk is a small one, at the place of a node's checkpoints.
type disk struct {
	t    *testing.T
	path string
}

func smallDisk(t *testing.T, data string) disk {
	t.Helper()
	d := disk{t, filepath.Join(data, archiveDir)}
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", d.path, "tmpfs", 0, "mode=0700,size=64k"); err != nil {
		t.Skipf("a small disk cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(d.path, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return d
}

// grow makes room.
func (d disk) grow() {
	d.t.Helper()
	if err := unix.Mount("tmpfs", d.path, "tmpfs", unix.MS_REMOUNT, "size=16m"); err != nil {
		d.t.Fatal(err)
	}
}

// has says what files there are, also those that have no name yet.
func (d disk) has(want ...string) {
	d.t.Helper()
	var got []string
	await.That(d.t, fmt.Sprintf("%s has %v", d.path, want), func() bool {
		entries, err := os.ReadDir(d.path)
		if err != nil {
			d.t.Fatal(err)
		}
		got = nil
		for _, e := range entries {
			got = append(got, strings.TrimSuffix(e.Name(), ".ckpt"))
		}
		return slices.Equal(got, want)
	})
}

// isFull says that an error tells of a node's disk, and no more of it than the node.
func isFull(t *testing.T, err error, node string) {
	t.Helper()
	if !errors.Is(err, policystore.ErrLimited) || !strings.Contains(err.Error(), "the disk of node "+node+" is full") ||
		!strings.Contains(err.Error(), "make room there") || strings.Contains(err.Error(), archiveDir+"/") {
		t.Errorf("the disk of %s is full, and it is said: %v", node, err)
	}
}

// heavy is a state of so many bytes that do not compress, and of what counts calls.
func heavy(bytes int) string {
	return fmt.Sprintf("import random\nballast = random.Random(1).randbytes(%d)\n%s", bytes, counter)
}

// A checkpoint for which the disk has no room is refused, and nothing is left of it: the cell goes on, and so do
// the checkpoints that there are. With room there is one.
func TestCheckpointOnAFullDisk(t *testing.T) {
	for _, size := range []int{100_000, 400_000} { // no more than what is written at once, and more
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			if err := WithData(data, "v1", func(string) error { return nil }); err != nil {
				t.Fatal(err)
			}
			d := smallDisk(t, data)
			n, calls, logged := opened(t, func(c *Config) { c.Data = data })
			s := story{t, n, calls}
			s.spawn(&pb.SpawnRequest{Name: "a"})
			s.exec("a", counter)
			first := s.checkpoint("a").GetId()
			s.exec("a", heavy(size))
			for i := range 2 {
				_, err := calls.Cells.Checkpoint(t.Context(), connect.NewRequest(&pb.CheckpointRequest{Name: "a"}))
				isFull(t, err, n.name())
				if got := s.call("a", "f"); got != fmt.Sprint(i+1) {
					t.Errorf("it answers %s", got)
				}
				d.has(first)
			}
			if !strings.Contains(logged.String(), "no space left on device") {
				t.Errorf("it logged %s", logged)
			}
			s.restore(first, "b")
			if got := s.call("b", "f"); got != "1" {
				t.Errorf("the one from before answers %s", got)
			}
			d.grow()
			s.restore(s.checkpoint("a").GetId(), "c")
			if got := s.call("c", "f"); got != "3" {
				t.Errorf("with room it answers %s", got)
			}
		})
	}
}

// A node whose disk is full gets no cell and no copy, and none that it has leaves it by a move: each goes on where
// it is, with the checkpoint that it had, and with room all of it works.
func TestMovesAndFullDisks(t *testing.T) {
	if testing.Short() {
		t.Skip("three nodes take a while to start")
	}
	all := processes(t)
	d := smallDisk(t, all[2].data)
	one := story{t, nil, all[0].Client}
	for name, on := range map[string]string{"comes": "n2", "leaves": "n3"} {
		succeeds(t, "a cell starts on "+on, func() error {
			_, err := all[0].Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: name, Placement: &pb.Placement{Node: on},
				Checkpoint: &pb.CheckpointPolicy{Replicas: 2}}))
			return err
		})
		one.exec(name, heavy(400_000))
	}
	saved := one.checkpoint("comes")
	if !slices.Equal(saved.GetNodes(), []string{"n2", "n1"}) {
		t.Errorf("the checkpoint is on %v", saved.GetNodes())
	}
	for i := range 2 {
		told, err := all[0].move("comes", "n3")
		isFull(t, err, "n3")
		if !strings.Contains(err.Error(), "bytes free") || slices.ContainsFunc(told, func(m *pb.MigrateResponse) bool { return m.GetPhase() == "freeze" }) {
			t.Errorf("it is known before: %v, %v", err, told)
		}
		_, err = all[0].move("leaves", "n1")
		isFull(t, err, "n3")
		for name, on := range map[string]string{"comes": "n2", "leaves": "n3"} {
			if got, now := one.call(name, "f"), all[0].inspect(name); got != fmt.Sprint(i+1) || now.GetNode() != on || now.GetState() != "running" {
				t.Errorf("%s answers %s, and is %v", name, got, now)
			}
		}
		d.has()
	}
	if got := one.list("comes"); !slices.ContainsFunc(got, func(c *pb.CheckpointInfo) bool { return c.GetId() == saved.GetId() && len(c.GetNodes()) == 2 }) {
		t.Errorf("its checkpoints are %v", got)
	}
	d.grow()
	if got := one.checkpoint("comes").GetNodes(); len(got) != 3 {
		t.Errorf("with room the checkpoint is on %v", got)
	}
	for name, to := range map[string]string{"comes": "n3", "leaves": "n1"} {
		if _, err := all[0].move(name, to); err != nil {
			t.Errorf("with room: %v", err)
		}
		if got := one.call(name, "f"); got != "3" || all[0].inspect(name).GetNode() != to {
			t.Errorf("with room %s answers %s, and is %v", name, got, all[0].inspect(name))
		}
	}
}
