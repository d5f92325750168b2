package jail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// namespaces of the jail, and what /proc/PID/ns calls them. All but the user
// namespace are asked for together: there is no jail that has some of them.
var namespaces = []struct {
	flag uintptr
	name string
	file string
}{
	{unix.CLONE_NEWUSER, layerUser, "user"},
	{unix.CLONE_NEWNS, layerMount, "mnt"}, {unix.CLONE_NEWPID, layerPID, "pid"}, {unix.CLONE_NEWNET, layerNet, "net"},
	{unix.CLONE_NEWIPC, layerIPC, "ipc"}, {unix.CLONE_NEWUTS, layerUTS, "uts"}, {unix.CLONE_NEWCGROUP, layerCgroup, "cgroup"},
}

// ownNamespaces returns the kernel's names of this process's namespaces, by layer.
// One that cannot be read is left out.
func ownNamespaces() map[string]string {
	names := map[string]string{}
	for _, n := range namespaces {
		if name, err := os.Readlink("/proc/self/ns/" + n.file); err == nil {
			names[n.name] = name
		}
	}
	return names
}

// attempt is one way to build the jail.
type attempt struct {
	user  bool // in a user namespace
	spare bool // without any namespace, and with whatever else can be had
}

// errMissing means that an attempt did not give the layers that are required.
type errMissing struct{ why string }

func (e errMissing) Error() string { return e.why }

// Run runs a program to its end. Its failure is in the result; an error means that
// it did not run, or that ctx ended (and the program with it). Errors are of
// package capability: Unavailable when layers are missing.
func Run(ctx context.Context, spec Spec) (Result, error) {
	spec = spec.withDefaults()
	if err := spec.Validate(); err != nil {
		return Result{}, err
	}
	attempts := []attempt{{user: true}}
	if os.Geteuid() == 0 {
		attempts = append(attempts, attempt{})
	}
	if spec.BestEffort {
		attempts = append(attempts, attempt{spare: true})
	}
	// The program gets a signal when the thread that started it ends, so the
	// thread must not end before the program.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var refused []string
	for _, a := range attempts {
		result, err := runOnce(ctx, spec, a)
		var missing errMissing
		if !errors.As(err, &missing) {
			result.Missing = append(refused, result.Missing...)
			return result, err
		}
		refused = append(refused, missing.why)
	}
	return Result{}, capability.Errorf(capability.Unavailable, "this node cannot make the jail: %s", strings.Join(refused, "; "))
}

// stageConfig is what the second stage is told.
type stageConfig struct {
	Path      string
	Args, Env []string
	ReadOnly  []string
	Limits    Limits
	Spare     bool
	Deny      []string
	// Outer are the node's namespaces. The second stage acts on no namespace
	// that it has not found to be another one.
	Outer map[string]string
}

// stageReport is what it says, in one or two JSON texts.
type stageReport struct {
	Held    []string
	Missing []string
	// Fatal is why the program is not started.
	Fatal string
	// Layers is set when Fatal is that required layers are missing.
	Layers bool
}

// Descriptors of the second stage.
const (
	configFD = 3
	reportFD = 4
	stageArg = "pyisolate-jail"
)

func runOnce(ctx context.Context, spec Spec, a attempt) (Result, error) {
	config, err := configFile(spec, a)
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = config.Close() }()
	report, theirs, err := os.Pipe()
	if err != nil {
		return Result{}, fmt.Errorf("jail: %w", err)
	}
	defer func() { _ = report.Close() }()
	ctx, cancel := context.WithTimeoutCause(ctx, spec.Wall, errWall)
	defer cancel()
	p := newProcess(ctx, spec, a, config, theirs)
	start := time.Now()
	err = p.cmd.Start()
	_ = theirs.Close()
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) && errors.Is(context.Cause(ctx), errWall) { // a busy machine had no time for it
			return Result{Exit: -1, Signal: unix.SignalName(unix.SIGKILL), Killed: killedWall, Duration: time.Since(start)}, nil
		}
		if missing := startRefused(err, a); missing != nil {
			return Result{}, missing
		}
		return Result{}, fmt.Errorf("jail: start the second stage: %w", err)
	}
	said, reportErr := readReport(report)
	waitErr := p.cmd.Wait()
	p.killGroup()
	switch {
	case said.Layers:
		return Result{}, errMissing{said.Fatal}
	case said.Fatal != "":
		return Result{}, capability.Errorf(capability.Failed, "%s", said.Fatal)
	case reportErr != nil && ctx.Err() == nil:
		return Result{}, fmt.Errorf("jail: the second stage ended without a word (is jail.Init called?): %w", errors.Join(reportErr, waitErr))
	}
	return p.result(ctx, said, time.Since(start))
}

// startRefused tells a refusal of namespaces from other errors.
func startRefused(err error, a attempt) error {
	for _, refusal := range []error{unix.EPERM, unix.EINVAL, unix.ENOSPC, unix.ENOSYS, unix.EUSERS, unix.EACCES} {
		if errors.Is(err, refusal) && !a.spare {
			what := "namespaces"
			if a.user {
				what = "user namespace and others"
			}
			return errMissing{fmt.Sprintf("%s: %s", what, refusal)}
		}
	}
	return nil
}

func configFile(spec Spec, a attempt) (*os.File, error) {
	c := stageConfig{Path: spec.Path, Args: spec.Args, Env: spec.Env, ReadOnly: spec.ReadOnly, Limits: spec.Limits,
		Spare: a.spare, Deny: spec.deny, Outer: ownNamespaces()}
	data, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("jail: %w", err)
	}
	fd, err := unix.MemfdCreate("jail", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("jail: memfd: %w", err)
	}
	f := os.NewFile(uintptr(fd), "jail")
	if _, err := f.WriteAt(data, 0); err != nil {
		return nil, errors.Join(fmt.Errorf("jail: %w", err), f.Close())
	}
	return f, nil
}

// readReport reads until the second stage is the program, or has given up.
func readReport(r io.Reader) (all stageReport, err error) {
	dec := json.NewDecoder(io.LimitReader(r, 1<<20))
	for n := 0; ; n++ {
		var one stageReport
		switch err := dec.Decode(&one); {
		case errors.Is(err, io.EOF) && n > 0:
			return all, nil
		case err != nil:
			return all, err
		}
		all.Held, all.Missing = append(all.Held, one.Held...), append(all.Missing, one.Missing...)
		if one.Fatal != "" {
			all.Fatal, all.Layers = one.Fatal, one.Layers
		}
	}
}

var (
	errWall   = errors.New("wall time")
	errOutput = errors.New("too much output")
)

// killedWall is why a program was ended whose time was over, also before it began.
const killedWall = "wall"

// process is a program in its jail.
type process struct {
	cmd            *exec.Cmd
	spare          bool
	stdout, stderr *bounded
	overflow       context.CancelCauseFunc
	ctx            context.Context
}

func newProcess(ctx context.Context, spec Spec, a attempt, config, report *os.File) *process {
	p := &process{spare: a.spare}
	p.ctx, p.overflow = context.WithCancelCause(ctx)
	p.stdout = &bounded{limit: spec.OutputBytes, over: p.overflow}
	p.stderr = &bounded{limit: spec.OutputBytes, over: p.overflow}
	p.cmd = exec.CommandContext(p.ctx, "/proc/self/exe")
	p.cmd.Args, p.cmd.Env, p.cmd.Dir = []string{stageArg}, []string{}, "/"
	p.cmd.Stdin = bytes.NewReader(spec.Stdin)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	p.cmd.ExtraFiles = []*os.File{config, report} // configFD, reportFD
	p.cmd.Cancel = p.kill
	// Without a PID namespace a process can leave the group and hold our pipes.
	p.cmd.WaitDelay = time.Second
	p.cmd.SysProcAttr = attributes(spec, a)
	return p
}

// attributes asks for namespaces, for a user that is not the node's where the node
// may choose, and for what the second stage needs to build the jail.
func attributes(spec Spec, a attempt) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	root := os.Geteuid() == 0
	if root {
		attr.Credential = &syscall.Credential{Uid: uint32(spec.UID), Gid: uint32(spec.GID)}
	}
	if a.spare {
		return attr
	}
	for _, n := range namespaces {
		attr.Cloneflags |= n.flag
	}
	attr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SETPCAP}
	if !a.user {
		attr.Cloneflags &^= unix.CLONE_NEWUSER
	} else {
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Getegid(), Size: 1}}
		if root {
			attr.UidMappings[0].HostID, attr.GidMappings[0].HostID = spec.UID, spec.GID
			attr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
			attr.GidMappingsEnableSetgroups = true // to drop the node's groups
		}
	}
	return attr
}

// kill ends the program: as process 1 it takes all of its namespace along.
func (p *process) kill() error {
	p.killGroup()
	return p.cmd.Process.Kill()
}

// killGroup reaches what a program without a PID namespace has started.
func (p *process) killGroup() {
	if p.spare {
		_ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
	}
}

func (p *process) result(ctx context.Context, said stageReport, d time.Duration) (Result, error) {
	defer p.overflow(nil)
	r := Result{Exit: -1, Stdout: p.stdout.bytes(), Stderr: p.stderr.bytes(), Duration: d, Layers: said.Held, Missing: said.Missing}
	switch cause := context.Cause(p.ctx); {
	case errors.Is(cause, errOutput):
		r.Killed = "output"
	case errors.Is(cause, errWall):
		r.Killed = killedWall
	case ctx.Err() != nil:
		return Result{}, ctx.Err()
	}
	status, _ := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		r.Signal = unix.SignalName(status.Signal())
	} else {
		r.Exit = status.ExitStatus()
	}
	return r, nil
}

// bounded keeps what is written up to a limit, and ends the program that goes on.
type bounded struct {
	limit int
	over  context.CancelCauseFunc

	mu  sync.Mutex
	buf []byte
}

func (b *bounded) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if room := b.limit - len(b.buf); room < len(p) {
		b.buf = append(b.buf, p[:room]...)
		b.over(errOutput)
		return len(p), nil // discarded, until it is dead
	}
	b.buf = append(b.buf, p...)
	return len(p), nil
}

func (b *bounded) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf
}
