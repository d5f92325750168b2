package seccomp

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
)

func TestNotifyFilter(t *testing.T) {
	for name, want := range map[string]Action{
		"open": Notify, "openat": Notify, "openat2": Notify, "creat": Notify, "truncate": Notify, "unlinkat": Notify,
		"renameat2": Notify, "mkdirat": Notify,
		"linkat": Refused, "symlink": Refused, "symlinkat": Refused, "mknodat": Refused, "bind": Refused, "fchmodat": Refused, "utimensat": Refused, "open_by_handle_at": Refused,
		"io_uring_setup": Refused, "open_tree": Refused, "chroot": Refused, "setns": Refused,
		"read": Allow, "newfstatat": Allow, "close": Allow, "sendmsg": Allow, "clone": Allow, "seccomp": Allow, "landlock_restrict_self": Allow,
	} {
		for _, arch := range Arches {
			t.Run(name+"-"+string(arch), func(t *testing.T) {
				n, ok := arch.Number(name)
				if !ok {
					t.Skipf("%s has no %s", arch, name)
				}
				p, err := CompileNotify(arch)
				if err != nil {
					t.Fatal(err)
				}
				if got := eval(t, p, arch.Call(n)); got != want {
					t.Errorf("%s gives %s, want %s", name, got, want)
				}
				if got := eval(t, p, arch.Call(arch.last()+1)); got != Missing {
					t.Errorf("a call younger than the table gives %s", got)
				}
				if len(p.Holes()) != 0 {
					t.Error("it has holes")
				}
			})
		}
	}
}

// Every call that the table of cells gives for changing files must be seen by the
// supervisor or refused: none may pass it by.
func TestNotifySeesWhatWritersMayCall(t *testing.T) {
	for _, arch := range Arches {
		p, err := CompileNotify(arch)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range table {
			if r.needs&Write == 0 {
				continue
			}
			for name := range fields(r.names) {
				if n, ok := arch.Number(name); ok && eval(t, p, arch.Call(n)) == Allow {
					t.Errorf("%s: %s is not judged", arch, name)
				}
			}
		}
	}
}

// What a cell's own filter refuses does not reach the supervisor, without a listener
// nothing is opened, and nobody gets a second listener.
func TestListen(t *testing.T) {
	p, err := CompileNotify("")
	if err != nil {
		t.Skip(err)
	}
	own := filter(t, Options{Backend: SubInterpreter})
	dir := t.TempDir()
	err = osthread.Run(func() error {
		listener, err := p.Listen()
		if err != nil {
			return err
		}
		if _, err := p.Listen(); !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("a second listener: %w", err)
		}
		if err := own.Install(ThisThread); err != nil {
			return err
		}
		if err := unix.Mkdir(dir+"/a", 0o755); !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("mkdir beside the own filter: %w", err)
		}
		if _, err := p.Listen(); !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("a second listener beside the own filter: %w", err)
		}
		if err := listener.Close(); err != nil {
			return err
		}
		if _, err := unix.Open(dir, unix.O_RDONLY, 0); !errors.Is(err, unix.ENOSYS) {
			return fmt.Errorf("open without a supervisor: %w", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
