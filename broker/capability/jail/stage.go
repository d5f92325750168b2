package jail

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Init is the second stage. In a process that [Run] has started it does not return;
// in any other it does nothing. Call it before anything else in main.
func Init() {
	if len(os.Args) != 1 || os.Args[0] != stageArg {
		return
	}
	// Credentials and filters belong to threads: all happens on this one, which
	// then becomes the program. No collector, so no new threads near the end.
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	s := &stage{report: os.NewFile(reportFD, "report")}
	err := s.become()
	_ = json.NewEncoder(s.report).Encode(stageReport{Fatal: err.Error(), Layers: s.layers})
	os.Exit(1)
}

// stage builds the jail from inside.
type stage struct {
	stageConfig
	report  *os.File
	held    []string
	missing []string
	layers  bool // giving up because layers are missing
}

// become ends as the program, or returns why not.
func (s *stage) become() error {
	data, err := io.ReadAll(io.NewSectionReader(os.NewFile(configFD, "config"), 0, 1<<30))
	if err != nil {
		return fmt.Errorf("read the second stage's configuration: %w", err)
	}
	if err := json.Unmarshal(data, &s.stageConfig); err != nil {
		return fmt.Errorf("read the second stage's configuration: %w", err)
	}
	s.findNamespaces()
	if slices.Contains(s.held, layerUTS) {
		_ = unix.Sethostname([]byte("jail")) // for looks
	}
	if slices.Contains(s.held, layerMount) {
		s.layer(layerRoot, s.enterRoot())
	} else {
		s.layer(layerRoot, errors.New("the mounts are the node's own and are left alone"))
	}
	s.layer(layerUID, s.checkUID())
	s.layer(layerCaps, dropCapabilities())
	s.layer(layerNoPrivs, unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	filter, err := seccompFilter()
	if err == nil {
		s.layer(layerSeccomp, nil) // it is loaded last, and its failure is fatal
	} else {
		s.layer(layerSeccomp, err)
	}
	s.layer(layerLimits, nil) // likewise
	for _, name := range required {
		if !slices.Contains(s.held, name) && !s.Spare {
			s.layers = true
			return fmt.Errorf("%s", strings.Join(s.missing, "; "))
		}
	}
	return s.exec(filter)
}

// findNamespaces looks which namespaces are not the node's. What it cannot find out
// counts as the node's: everything that acts on a namespace depends on this.
func (s *stage) findNamespaces() {
	own := ownNamespaces()
	for _, n := range namespaces {
		switch outer, now := s.Outer[n.name], own[n.name]; {
		case outer == "" || now == "":
			s.layer(n.name, errors.New("cannot be told from the node's"))
		case outer == now:
			if n.name != layerUser { // which is not needed for its own sake
				s.layer(n.name, errors.New("it is the node's"))
			}
		default:
			s.layer(n.name, nil)
		}
	}
}

// layer notes whether a layer holds.
func (s *stage) layer(name string, err error) {
	if slices.Contains(s.Deny, name) {
		err = unix.EPERM
	}
	if err != nil {
		s.missing = append(s.missing, fmt.Sprintf("%s: %s", name, err))
		return
	}
	s.held = append(s.held, name)
}

// checkUID: a node that is root must not run programs as root.
func (s *stage) checkUID() error {
	if os.Getuid() == 0 || os.Geteuid() == 0 {
		return fmt.Errorf("the user is still root")
	}
	return nil
}

// dropCapabilities gives all up, for this thread and what it becomes.
func dropCapabilities() error {
	// Needs a capability itself; without it there is nothing to bound.
	for c := uintptr(0); c < 64 && unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0) == nil; c++ {
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return err
	}
	var now [2]unix.CapUserData
	if err := unix.Capget(&header, &now[0]); err != nil {
		return err
	}
	if now != none {
		return fmt.Errorf("some are left: %x", now)
	}
	return nil
}

type rlimit struct {
	resource int
	value    uint64
}

func (l Limits) rlimits() []rlimit {
	return []rlimit{
		{unix.RLIMIT_CORE, 0}, {unix.RLIMIT_MEMLOCK, 0}, {unix.RLIMIT_MSGQUEUE, 0},
		{unix.RLIMIT_FSIZE, uint64(max(0, l.Tmp))}, {unix.RLIMIT_NOFILE, uint64(l.Files)},
		{unix.RLIMIT_CPU, uint64((l.CPU.Milliseconds() + 999) / 1000)}, {unix.RLIMIT_NPROC, uint64(l.Processes)},
		{unix.RLIMIT_AS, uint64(l.Memory)}, // last: from here on we may not allocate
	}
}

// exec makes everything ready, reports, and then only makes system calls: the
// limits are the program's and can be too small for a Go runtime.
func (s *stage) exec(filter []unix.SockFilter) error {
	path, err := syscall.BytePtrFromString(s.Path)
	if err != nil {
		return err
	}
	argv, err := syscall.SlicePtrFromStrings(s.Args)
	if err != nil {
		return err
	}
	envp, err := syscall.SlicePtrFromStrings(s.Env)
	if err != nil {
		return err
	}
	limits := s.Limits.rlimits()
	program := unix.SockFprog{Len: uint16(len(filter))}
	if len(filter) > 0 {
		program.Filter = &filter[0]
	}
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close_range: %w", err)
	}
	if err := json.NewEncoder(s.report).Encode(stageReport{Held: s.held, Missing: s.missing}); err != nil {
		return err
	}
	what, errno := becomeProgram(path, argv, envp, limits, &program)
	return fmt.Errorf("%s: %w", what, errno)
}

// becomeProgram does not return when it works. It does not allocate and does not
// enter the scheduler, so nothing of the runtime meets the limits.
func becomeProgram(path *byte, argv, envp []*byte, limits []rlimit, program *unix.SockFprog) (string, syscall.Errno) {
	// Changing the user has cleared it.
	if _, _, e := unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0, 0); e != 0 {
		return "parent death signal", e
	}
	for i := range limits {
		new := unix.Rlimit{Cur: limits[i].value, Max: limits[i].value}
		if _, _, e := unix.RawSyscall6(unix.SYS_PRLIMIT64, 0, uintptr(limits[i].resource), uintptr(unsafe.Pointer(&new)), 0, 0, 0); e != 0 {
			return "resource limits", e
		}
	}
	if program.Len > 0 {
		if _, _, e := unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(program)), 0, 0, 0); e != 0 {
			return "seccomp", e
		}
	}
	_, _, e := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envp[0])))
	return "start the program in the jail", e
}
