package probe

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/cgroup"
	"github.com/pyisolate/pyisolate/kernel/internal/vmtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	f := Run()
	t.Logf("kernel %s, %s, %v", f.Kernel, f.Arch, f.Took)
	seen := map[Feature]bool{}
	for _, r := range f.Rows {
		t.Logf("%-24s %-5v %d  %s: %s", r.Feature, r.Works, r.Value, r.Tried, r.Answer)
		if seen[r.Feature] {
			t.Errorf("%s is there twice", r.Feature)
		}
		seen[r.Feature] = true
		if r.Tried == "" || r.Answer == "" {
			t.Errorf("%s has no evidence", r.Feature)
		}
	}
	// What every kernel that we test on has.
	for _, name := range []Feature{SeccompFilter, SeccompKill, SeccompNotify, CloseRange} {
		if !f.Works(name) {
			t.Errorf("%s: %+v", name, f.Row(name))
		}
	}
}

// TestInside: in a machine of ours the programs are called just where "bpf" is among the
// active security modules, and all else works but what the kernel is too old for.
func TestInside(t *testing.T) {
	if os.Getenv(vmtest.InsideEnv) == "" {
		t.Skip("only inside `make test-kernel`")
	}
	modules, err := os.ReadFile("/sys/kernel/security/lsm")
	if err != nil {
		t.Fatal(err)
	}
	active := slices.Contains(strings.Split(strings.TrimSpace(string(modules)), ","), "bpf")
	f := Run()
	if f.Works(BPFLSM) != active {
		t.Errorf("active modules %s: %+v", modules, f.Row(BPFLSM))
	}
	for _, r := range f.Rows {
		if !r.Works && r.Feature != BPFLSM && r.Feature != PidfdThread {
			t.Errorf("%+v", r)
		}
	}
	for _, c := range []Feature{CgroupCPU, CgroupMemory, CgroupTasks} {
		if f.Value(c) != 2 {
			t.Errorf("%+v", f.Row(c))
		}
	}
}

// TestAgain: what was found is found again, so a probe disturbs no later one.
func TestAgain(t *testing.T) {
	one, two := Run(), Run()
	works := func(f *Features) map[Feature]bool {
		of := map[Feature]bool{}
		for _, r := range f.Rows {
			of[r.Feature] = r.Works
		}
		return of
	}
	if diff := cmp.Diff(works(one), works(two)); diff != "" {
		t.Error(diff)
	}
	if first, second := Host(), Host(); first != second {
		t.Error("Host probed twice")
	}
}

// TestNothingIsLeft looks for descriptors, threads' restrictions and groups.
func TestNothingIsLeft(t *testing.T) {
	Run() // caches of libraries
	before := descriptors(t)
	Run()
	if diff := cmp.Diff(before, descriptors(t)); diff != "" {
		t.Errorf("descriptors: %s", diff)
	}
	if n, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err != nil || n != 0 {
		t.Errorf("this thread has no_new_privs (%v)", err)
	}
	mounts, err := cgroup.Mounts()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mounts {
		// Other processes may be probing now: only this one's.
		if left, _ := filepath.Glob(fmt.Sprintf("%s/pyisolate-probe-%d*", m.Point, os.Getpid())); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}

func TestMountOf(t *testing.T) {
	const before = "proc /proc proc rw 0 0\n"
	for line, want := range map[string]string{
		"":                                    "",
		"bpf /sys/fs/bpf bpf rw 0 0\n":        "/sys/fs/bpf",
		`bpf /mnt/a\040b\011c\012 bpf rw 0 0`: "/mnt/a b\tc\n",
		`bpf /mnt/a\134040b bpf rw 0 0`:       `/mnt/a\040b`,
	} {
		if got := mountOf(before+line, "bpf"); got != want {
			t.Errorf("%q: %q, not %q", line, got, want)
		}
	}
}

func descriptors(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil {
			list = append(list, to)
		}
	}
	slices.Sort(list)
	return list
}

func TestFeatures(t *testing.T) {
	f := &Features{Rows: []Row{{Feature: Landlock, Works: true, Value: 7}, {Feature: BPFLSM, Value: 3}}}
	if !f.Works(Landlock) || f.Works(Landlock, BPFLSM) || f.Works(IOUring) || !f.Works() {
		t.Error("Works")
	}
	if f.Value(Landlock) != 7 || f.Value(BPFLSM) != 0 || f.Value(IOUring) != 0 {
		t.Error("Value")
	}
	if r := f.Row(IOUring); r.Answer != "not probed" {
		t.Errorf("%+v", r)
	}
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var g Features
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*f, g); diff != "" {
		t.Error(diff)
	}
}

func BenchmarkRun(b *testing.B) {
	for b.Loop() {
		Run()
	}
}
