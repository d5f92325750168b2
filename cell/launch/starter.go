package launch

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// starter starts host processes, all from one thread that lives as long as it.
type starter struct {
	config Config
	users  Users // of process cells; none: they have their host's
	nodes  machine
	asks   chan func()
	done   chan struct{}

	mu      sync.Mutex
	denied  error  // why not all namespaces were granted
	flags   uint64 // those of the last host
	noUring string // why the last host's channel is not the ring that was asked for
}

func newStarter(c Config, u Users, m machine) *starter {
	s := &starter{config: c, users: u, nodes: m, asks: make(chan func()), done: make(chan struct{})}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		defer close(s.done)
		for ask := range s.asks {
			ask()
		}
	}()
	return s
}

// close must come after the last start, and after the last host's end.
func (s *starter) close() {
	close(s.asks)
	<-s.done
}

// process is a started host, before it has said anything.
type process struct {
	cmd     *exec.Cmd
	channel *channel
	conn    wire.Conn // nil until the host has proved itself
	stderr  *lastWords
}

func (s *starter) start(b cell.Backend, f fit, node int) (p *process, err error) {
	answered := make(chan struct{})
	s.asks <- func() {
		defer close(answered)
		err = s.nodes.on(node, func() (err error) {
			p, err = s.startHere(b, f)
			return err
		})
	}
	<-answered
	return p, err
}

// startHere tries with all namespaces, then within a user namespace of the
// host's own, then with none.
func (s *starter) startHere(b cell.Backend, f fit) (*process, error) {
	wanted := f.namespaces(hostNamespaces)
	tries := []uint64{wanted, wanted | unix.CLONE_NEWUSER, 0}
	if s.config.NoNamespaces {
		tries = tries[2:]
	}
	var refused error
	for _, flags := range tries {
		p, err := s.startWith(b, flags, f.watched)
		if err == nil {
			s.mu.Lock()
			s.flags, s.denied = flags, refused
			s.mu.Unlock()
			return p, nil
		}
		refused = errors.Join(refused, fmt.Errorf("namespaces %v: %w", host.NamespaceNames(flags), err))
		if !namespacesRefused(err) {
			break
		}
	}
	return nil, fmt.Errorf("launch: start host: %w", refused)
}

func namespacesRefused(err error) bool {
	for _, e := range []error{unix.EPERM, unix.EINVAL, unix.ENOSPC, unix.EUSERS, unix.ENOSYS, unix.EACCES} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (s *starter) startWith(b cell.Backend, flags uint64, watched bool) (*process, error) {
	way, err := newChannel(s.config.BrokerIO, watched)
	if err != nil {
		return nil, err
	}
	defer way.started()
	if way.noUring != nil {
		s.mu.Lock()
		s.noUring = way.noUring.Error()
		s.mu.Unlock()
	}
	p := &process{channel: way, stderr: new(lastWords)}
	p.cmd = exec.Command(s.config.Executable[0], s.config.Executable[1:]...)
	p.cmd.Args[0] = "pyisolate-host-" + string(b) // cell/cpython/confine.c goes by it
	p.cmd.Env = append([]string{}, s.config.Env...)
	p.cmd.Dir = "/"
	p.cmd.Stderr = p.stderr
	p.cmd.ExtraFiles = way.theirs
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true, Cloneflags: uintptr(flags)}
	if flags&unix.CLONE_NEWUSER != 0 {
		p.cmd.SysProcAttr.UidMappings = s.mappings(os.Getuid())
		p.cmd.SysProcAttr.GidMappings = s.mappings(os.Getgid())
		p.cmd.SysProcAttr.GidMappingsEnableSetgroups = s.users.Count > 0
	}
	// A child of the cell that outlives the host must not keep Wait waiting
	// for the end of stderr.
	p.cmd.WaitDelay = s.config.KillGrace
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(err, way.close())
	}
	return p, nil
}

// mappings of a user namespace: its own user, and those of its cells.
func (s *starter) mappings(id int) []syscall.SysProcIDMap {
	maps := []syscall.SysProcIDMap{{ContainerID: id, HostID: id, Size: 1}}
	if u := s.users; u.Count > 0 {
		maps = append(maps, syscall.SysProcIDMap{ContainerID: int(u.First), HostID: int(u.First), Size: int(u.Count)})
	}
	return maps
}

// lastWords keeps the end of a host's stderr, for the reason of its death.
type lastWords struct {
	mu  sync.Mutex
	buf []byte
}

const lastWordsBytes = 2048

func (w *lastWords) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = append(w.buf, p[max(0, len(p)-lastWordsBytes):]...)
	w.buf = w.buf[max(0, len(w.buf)-lastWordsBytes):]
	return len(p), nil
}

func (w *lastWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(bytes.TrimSpace(w.buf))
}
