package contract

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/cgroup"
	"github.com/pyisolate/pyisolate/kernel/probe"
)

// inGroup puts this process into a version 2 control group for the length of a test.
func inGroup(t testing.TB) string {
	t.Helper()
	tree, err := cgroup.Open(cgroup.Options{Name: fmt.Sprintf("contract-test-%d", os.Getpid())})
	if err != nil {
		t.Skipf("no control group can be made: %v", err)
	}
	g, err := tree.Create("group", cgroup.Limits{})
	if err != nil || g.Unified() == "" {
		t.Skipf("no group of version 2 can be made: %v", err)
	}
	was, err := ownGroup()
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(was+"/cgroup.procs", []byte("0"), 0); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(g.Remove(ctx), tree.Close()); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(g.Unified()+"/cgroup.procs", []byte("0"), 0); err != nil {
		t.Skipf("this process cannot go into a group: %v", err)
	}
	return g.Unified()
}

// ownGroup is where this process is in version 2.
func ownGroup() (string, error) {
	mounts, err := cgroup.Mounts()
	if err != nil {
		return "", err
	}
	for _, m := range mounts {
		if own, err := m.Own(); err == nil && m.Version == 2 {
			return own, nil
		}
	}
	return "", errors.New("version 2 of control groups is not mounted")
}

// connect connects a UDP socket, which sends nothing.
func connect(address [4]byte, port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.Connect(fd, &unix.SockaddrInet4{Addr: address, Port: port})
}

// verdicts say what came of attempts: + or -, or the error.
func verdicts(attempts ...error) string {
	s := ""
	for _, err := range attempts {
		switch {
		case err == nil:
			s += "+"
		case errors.Is(err, fs.ErrPermission):
			s += "-"
		default:
			s += "(" + err.Error() + ")"
		}
	}
	return s
}

func connectHook(t testing.TB) hook {
	t.Helper()
	return newHook(t, hook{
		hook: Connect, target: SockAddr(ebpf.AttachCGroupInet4Connect, nil),
		counter: unsafe.Offsetof(Counters{}.Connects), fill: fillPeer4(),
	})
}

// TestConnect4: contracts judge real connections, in a control group.
func TestConnect4(t *testing.T) {
	h := connectHook(t)
	local, other := [4]byte{127, 0, 0, 1}, [4]byte{127, 9, 0, 1}
	var programs []*ebpf.Program
	for _, source := range []string{
		"connect.port in {443, 8443}",
		"connect.address in {127.0.0.0/16}; connect.family == ipv4",
		"connect.protocol == udp and not (connect.port == 443 and connect.address == 127.9.0.1)",
		"connect.protocol == tcp",
		"connects <= 22", // after 20
		"connects <= 1000",
	} {
		programs = append(programs, load(t, parse(t, source), h.hook, h.target))
	}
	group := inGroup(t)
	attach := func(p *ebpf.Program) (link.Link, error) {
		return link.AttachCgroup(link.CgroupOptions{Path: group, Attach: ebpf.AttachCGroupInet4Connect, Program: p})
	}
	h.attached(t, attach, func() error {
		try := func() string {
			return verdicts(connect(local, 443), connect(local, 80), connect(other, 443), connect(local, 8443))
		}
		got := []string{try()} // an empty slot refuses
		for _, p := range programs {
			if err := h.slot.Put(uint32(0), p); err != nil {
				return err
			}
			got = append(got, try())
		}
		if want := "[---- +-++ ++-+ ++-+ ---- ++-- ++++]"; fmt.Sprint(got) != want {
			return fmt.Errorf("%v, want %s", got, want)
		}
		return nil
	})
}

// lsm is a hook of the LSM, or a skip.
func lsm(t testing.TB, h Hook, attachTo string, counter uintptr, fill ...asm.Instruction) hook {
	t.Helper()
	if r := probe.Host().Row(probe.BPFLSM); !r.Works {
		t.Skipf("no eBPF-LSM here: %s", r.Answer)
	}
	return newHook(t, hook{hook: h, target: LSM(attachTo, nil), counter: counter, fill: fill})
}

// try makes attempts on a thread of its own, with a contract in the slot.
func (h hook) try(t testing.TB, source string, attempts func() string) (got string) {
	t.Helper()
	if source == "" {
		if err := h.slot.Delete(uint32(0)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			t.Fatal(err)
		}
	} else if err := h.slot.Put(uint32(0), load(t, parse(t, source), h.hook, h.target)); err != nil {
		t.Fatal(err)
	}
	attach := func(p *ebpf.Program) (link.Link, error) { return link.AttachLSM(link.LSMOptions{Program: p}) }
	h.attached(t, attach, func() error {
		got = attempts()
		return nil
	})
	return got
}

// TestLSM: contracts on the LSM's hooks. Each try has an event of its own, since it has a
// thread of its own.
func TestLSM(t *testing.T) {
	open := func() string {
		var list []error
		for range 4 {
			f, err := os.Open("/proc/self/stat")
			if err == nil {
				_ = f.Close()
			}
			list = append(list, err)
		}
		return verdicts(list...)
	}
	opens := lsm(t, Open, "file_open", unsafe.Offsetof(Counters{}.Opens))
	reads := lsm(t, Open, "file_open", unsafe.Offsetof(Counters{}.Opens), asm.StoreImm(regEvent, int16(unsafe.Offsetof(Event{}.Access)), int64(Read), asm.Word))
	connects := lsm(t, Connect, "socket_connect", unsafe.Offsetof(Counters{}.Connects), asm.StoreImm(regEvent, int16(familyAt), unix.AF_INET, asm.Half))
	sends := lsm(t, Send, "socket_sendmsg", unsafe.Offsetof(Counters{}.BytesSent))
	forks := lsm(t, Fork, "task_alloc", unsafe.Offsetof(Counters{}.Children))
	twoForks() // whatever package os forks once only
	for _, c := range []struct {
		hook     hook
		source   string
		attempts func() string
		want     string
	}{
		{opens, "", open, "----"},
		{opens, "opens <= 3", open, "+++-"},
		{opens, "opens <= 3 and not open.write", open, "+++-"},
		{opens, `open.path under "/proc"`, open, "----"}, // no path was filled in
		{reads, "open.read; not open.execute", open, "++++"},
		{reads, "open.write", open, "----"},
		{connects, "connects <= 2", threeConnects, "++-"},
		{sends, "bytes_sent <= 2", threeSends, "++-"},
		{forks, "children <= 1", twoForks, "+-"},
	} {
		if got := c.hook.try(t, c.source, c.attempts); got != c.want {
			t.Errorf("%s with %q: %s, want %s", c.hook.target.AttachTo, c.source, got, c.want)
		}
	}
}

func threeConnects() string {
	local := [4]byte{127, 0, 0, 1}
	return verdicts(connect(local, 1), connect(local, 2), connect(local, 3))
}

func threeSends() string {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err.Error()
	}
	defer func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) }()
	send := func() error { return unix.Send(pair[0], []byte("x"), 0) }
	return verdicts(send(), send(), send())
}

func twoForks() string {
	fork := func() error {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		return exec.Command(self, "-test.run=^$").Run()
	}
	return verdicts(fork(), fork())
}
