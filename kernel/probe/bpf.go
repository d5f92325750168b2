package probe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// answer is the shortest program: it returns a number.
func answer(n int32) asm.Instructions {
	return asm.Instructions{asm.Mov.Imm(asm.R0, n), asm.Return()}
}

// programs are the types that are loaded, with two instructions each.
var programs = []struct {
	feature Feature
	kind    ebpf.ProgramType
	attach  ebpf.AttachType
}{
	{BPFConnect4, ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Connect},
	{BPFConnect6, ebpf.CGroupSockAddr, ebpf.AttachCGroupInet6Connect},
	{BPFSendmsg4, ebpf.CGroupSockAddr, ebpf.AttachCGroupUDP4Sendmsg},
	{BPFSendmsg6, ebpf.CGroupSockAddr, ebpf.AttachCGroupUDP6Sendmsg},
	{BPFBind4, ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Bind},
	{BPFBind6, ebpf.CGroupSockAddr, ebpf.AttachCGroupInet6Bind},
	{BPFSockCreate, ebpf.CGroupSock, ebpf.AttachCGroupInetSockCreate},
	{BPFEgress, ebpf.CGroupSKB, ebpf.AttachCGroupInetEgress},
}

func programRows() []Row {
	var rows []Row
	for _, p := range programs {
		prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: p.kind, AttachType: p.attach, License: "GPL", Instructions: answer(1)})
		if err == nil {
			err = prog.Close()
		}
		rows = append(rows, row(p.feature, "load a program of two instructions", short(err)))
	}
	return append(rows, row(BPFTracing, "load and attach a program of two instructions to a tracepoint", short(tryTracing())))
}

// short leaves out the verifier's log and the library's advice: two instructions do not
// fail for what they say.
func short(err error) error {
	var v *ebpf.VerifierError
	if errors.As(err, &v) && v.Cause != nil {
		err = v.Cause
	}
	if errno := unix.Errno(0); errors.As(err, &errno) && errors.Is(err, unix.EPERM) {
		return errno
	}
	return err
}

func tryTracing() error {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.Tracing, AttachType: ebpf.AttachTraceRawTp, AttachTo: "task_newtask",
		License: "GPL", Instructions: answer(0)})
	if err != nil {
		return err
	}
	defer func() { _ = prog.Close() }()
	l, err := link.AttachTracing(link.TracingOptions{Program: prog})
	if err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	return l.Close()
}

func mapRows() []Row {
	index := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	word := &btf.Int{Name: "unsigned int", Size: 4}
	var rows []Row
	for _, m := range []struct {
		feature Feature
		tried   string
		spec    ebpf.MapSpec
	}{
		{BPFTaskStorage, "make a map", ebpf.MapSpec{Type: ebpf.TaskStorage, KeySize: 4, ValueSize: 4, Flags: unix.BPF_F_NO_PREALLOC, Key: index, Value: word}},
		{BPFSockStorage, "make a map", ebpf.MapSpec{Type: ebpf.SkStorage, KeySize: 4, ValueSize: 4, Flags: unix.BPF_F_NO_PREALLOC, Key: index, Value: word}},
		{BPFTrie, "make a map", ebpf.MapSpec{Type: ebpf.LPMTrie, KeySize: 8, ValueSize: 4, MaxEntries: 1, Flags: unix.BPF_F_NO_PREALLOC}},
		{BPFRing, "make a map", ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: uint32(os.Getpagesize())}},
	} {
		made, err := ebpf.NewMap(&m.spec)
		if err == nil {
			err = made.Close()
		}
		rows = append(rows, row(m.feature, m.tried, short(err)))
	}
	return append(rows,
		row(BPFMmap, "make an array and map its memory", short(tryMmap())),
		row(BPFPin, "pin a map in a bpf file system", short(tryPin())))
}

func array(flags uint32) (*ebpf.Map, error) {
	return ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1, Flags: flags})
}

func tryMmap() error {
	m, err := array(unix.BPF_F_MMAPABLE)
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }()
	data, err := unix.Mmap(m.FD(), 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	return unix.Munmap(data)
}

func tryPin() error {
	m, err := array(0)
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }()
	dir, err := bpfFileSystem()
	if err != nil {
		return err
	}
	if err := m.Pin(filepath.Join(dir, fmt.Sprintf("pyisolate-probe-%d", os.Getpid()))); err != nil {
		return err
	}
	return m.Unpin()
}

// bpfFileSystem returns where one is mounted.
func bpfFileSystem() (string, error) {
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	if point := mountOf(string(data), "bpf"); point != "" {
		return point, nil
	}
	return "", errors.New("no bpf file system is mounted")
}

// unescape undoes what the kernel writes for white space and backslashes in paths.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// mountOf returns the first place where a file system of a kind is mounted, from proc_pid_mounts(5).
func mountOf(mounts, kind string) string {
	for line := range strings.Lines(mounts) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == kind {
			return unescape.Replace(f[1])
		}
	}
	return ""
}
