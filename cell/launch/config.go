package launch

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/broker/transport"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/enforce"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// Python says where CPython is and how to start it.
type Python struct {
	Home, Lib, Stdlib, Start string
	// Preload are modules imported before a process cell is forked.
	Preload []string
}

// Config of a launcher. The zero value of a field is its default.
type Config struct {
	// Executable and arguments of a host. Default /proc/self/exe host.
	Executable []string
	// Env of a host. Default: empty.
	Env    []string
	Python Python
	// PoolSize is the started cells each host keeps ready. Default 2;
	// negative: none.
	PoolSize int
	// NoNamespaces starts hosts and process cells in the node's namespaces.
	NoNamespaces bool
	// NoZygote executes each process cell afresh instead of forking it: some ten
	// times slower, and nothing is shared between cells. Hosts do so by themselves
	// where a zygote cannot be started, or fails again and again.
	NoZygote bool
	// Users are what process cells run as when the node is root. Default: 2^20 users
	// from 1879048192 on, or where those are not mapped user 65534 for all. Nodes on
	// one machine should have different ones.
	Users Users
	// IdleTimeout is from a host's last cell to its end. Default 5 min; negative:
	// hosts stay. Spare hosts do not end.
	IdleTimeout time.Duration
	// BrokerIO is how the node's end of each host's channel is read and written.
	// Default transport.ModeAuto. Where io_uring is refused, ModeUring falls back to
	// the socket and Stats says why. Hosts always use the socket: what a ring is asked
	// to do, a system call filter does not see.
	BrokerIO transport.Mode
	// Confinement is what becomes of layers that a cell should put on and this kernel
	// lacks. Default stack.Dev: it goes without, and its report says so. stack.Hardened:
	// it does not start. stack.Compatibility: cells put on none.
	Confinement stack.Mode
	// Hosts is told of each host that starts or ends, by a goroutine that must not be kept
	// waiting; nil: nobody is.
	Hosts func(HostChange)
	// Kernel is the node's half of the kernel's layers; nil: cells have their own half
	// alone. It is the caller's, to be closed after the launcher.
	Kernel *enforce.Enforcer
	// NUMA is where cells are whose specs do not say it. Default "auto": on machines of
	// several nodes the one with the fewest hosts; one host a tenant and node.
	NUMA string
	// KillGrace is from an interrupt to the kill. Default 500 ms.
	KillGrace time.Duration
	// RetireGrace is from a stuck cell to its host's end. Default 5 s.
	RetireGrace time.Duration
	// AnswerGrace is how much later than it must a host may answer: as long as a busy
	// machine may keep a sound one from its processors. Default 10 s.
	AnswerGrace time.Duration
	// BackoffFirst and BackoffMost bound the wait before a host that died is
	// started again. Default 50 ms, doubling to 5 s.
	BackoffFirst, BackoffMost time.Duration
	// StartTimeout bounds the start of a host. Default 30 s.
	StartTimeout time.Duration
	// MaxHostsSpare is the started hosts, per backend in use, that wait for a
	// tenant. Default 0.
	MaxHostsSpare int
}

// Backend is that of cells which name none: in hardened mode a process of its own, which
// is confined as a whole.
func (c Config) Backend() cell.Backend {
	if c.Confinement == stack.Hardened {
		return cell.Process
	}
	return cell.SubInterpreter
}

func (c Config) withDefaults() Config {
	if len(c.Executable) == 0 {
		c.Executable = []string{"/proc/self/exe", "host"}
	}
	if c.Confinement == "" {
		c.Confinement = stack.Dev
	}
	if c.PoolSize == 0 {
		c.PoolSize = 2
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.KillGrace, 500 * time.Millisecond}, {&c.RetireGrace, 5 * time.Second},
		{&c.AnswerGrace, 10 * time.Second}, {&c.BackoffFirst, 50 * time.Millisecond},
		{&c.BackoffMost, 5 * time.Second}, {&c.StartTimeout, 30 * time.Second},
		{&c.IdleTimeout, 5 * time.Minute},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return c
}

// hostNamespaces are wanted for every host, cellNamespaces for a process cell.
const (
	hostNamespaces = unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWPID
	cellNamespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC |
		unix.CLONE_NEWUTS | unix.CLONE_NEWPID
)

// Stats count since New.
type Stats struct {
	Hosts       int      `json:"hosts"`
	Cells       int      `json:"cells"`
	Ready       int      `json:"ready"` // started cells that hosts keep for those to come
	PoolHits    uint64   `json:"pool_hits"`
	PoolMisses  uint64   `json:"pool_misses"`
	Restarts    uint64   `json:"restarts"`
	Idle        uint64   `json:"idle"` // hosts that ended because they had no cell
	Namespaces  []string `json:"namespaces,omitempty"`
	NoNamespace string   `json:"no_namespace,omitempty"` // why some are missing
	// Why process cells, the first such one, was executed and not forked; and why
	// they have no user of their own.
	NoZygote string `json:"no_zygote,omitempty"`
	NoUser   string `json:"no_user,omitempty"`
	// Why channels are sockets although BrokerIO is transport.ModeUring.
	NoUring string `json:"no_uring,omitempty"`
}

// HitRate is the part of claims served from a pool, 0 before the first.
func (s Stats) HitRate() float64 {
	if s.PoolHits+s.PoolMisses == 0 {
		return 0
	}
	return float64(s.PoolHits) / float64(s.PoolHits+s.PoolMisses)
}

// hostKey is what shares a host.
type hostKey struct {
	tenant  string
	backend cell.Backend
	fit     fit
	node    int
}
