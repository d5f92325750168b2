package systemd

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// childEnv makes the test binary take over sockets, and answer at each.
const childEnv = "PYISOLATE_TEST_ACTIVATED"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		activated()
	}
	goleak.VerifyTestMain(m)
}

// activated answers one connection at each socket with how many there are.
func activated() {
	all, err := Listeners()
	if err != nil {
		_, _ = os.Stdout.WriteString(err.Error())
		os.Exit(1)
	}
	for _, l := range all {
		c, err := l.Accept()
		if err == nil {
			_, err = c.Write([]byte(strconv.Itoa(len(all)) + " " + l.Addr().Network() + os.Getenv("LISTEN_FDS")))
			err = errors.Join(err, c.Close(), l.Close())
		}
		if err != nil {
			os.Exit(1)
		}
	}
	os.Exit(0)
}

// handOver starts a child as a service manager does, with files from 3 on.
func handOver(t *testing.T, environment string, files ...*os.File) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/bin/sh", "-c", "export "+environment+`; exec "$0"`, self)
	c.Env = append(os.Environ(), childEnv+"=1")
	c.ExtraFiles = files
	return c
}

func TestSocketsAreTakenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	u, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = u.Close() }()
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tcp.Close() }()
	uf, err := u.File()
	if err != nil {
		t.Fatal(err)
	}
	tf, err := tcp.File()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = uf.Close(), tf.Close() }()
	child := handOver(t, "LISTEN_PID=$$ LISTEN_FDS=2", uf, tf)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for _, at := range []net.Addr{u.Addr(), tcp.Addr()} {
		c, err := net.Dial(at.Network(), at.String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		text, err := io.ReadAll(c)
		if err != nil || string(text) != "2 "+at.Network() {
			t.Errorf("%s answers %q, %v", at, text, err)
		}
		_ = c.Close()
	}
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the service manager's socket is gone: %v", err)
	}
}

func TestWhatIsNoSocketIsRefused(t *testing.T) {
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for environment, says := range map[string]string{
		"LISTEN_PID=$$ LISTEN_FDS=1":      "socket 3 that was handed over",
		"LISTEN_PID=$$ LISTEN_FDS=2":      "handed over",
		"LISTEN_PID=$$ LISTEN_FDS=-1":     "must be 0 to 64",
		"LISTEN_PID=$$ LISTEN_FDS=many":   "must be 0 to 64",
		"LISTEN_PID=1 LISTEN_FDS=1":       "", // another's
		"LISTEN_FDS=1":                    "",
		"LISTEN_PID=$$ LISTEN_FDS=0 A=$$": "",
	} {
		out, err := handOver(t, environment, f).Output()
		if (err == nil) != (says == "") || !strings.Contains(string(out), says) {
			t.Errorf("%s: %q, %v; want %q", environment, out, err, says)
		}
	}
}

func manager(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return c
}

func hear(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	buf := make([]byte, 1024)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func TestNotify(t *testing.T) {
	c := manager(t)
	if err := Notify(Ready, Status("two\nlines")); err != nil {
		t.Fatal(err)
	}
	if got := hear(t, c); got != "READY=1\nSTATUS=two lines" {
		t.Errorf("heard %q", got)
	}
	if err := Notify(Reloading()); err != nil {
		t.Fatal(err)
	}
	if got := hear(t, c); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("heard %q", got)
	}
	t.Setenv("NOTIFY_SOCKET", "/none")
	if err := Notify(Ready); err == nil {
		t.Error("nobody hears, and that is no error")
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Notify(Ready); err != nil {
		t.Errorf("without a service manager: %v", err)
	}
}

// One that is stuck, or a service manager that does not hear, for a while is not so for ever; the
// watchdog hears nothing meanwhile.
func TestWatchAgain(t *testing.T) {
	for _, c := range []struct {
		name string
		fail func(ctx context.Context, path string) error
		mend func(path string)
		want error
	}{
		{"stuck", func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }, func(string) {}, context.DeadlineExceeded},
		{"not heard", func(_ context.Context, path string) error { return os.Rename(path, path+".away") },
			func(path string) { _ = os.Rename(path+".away", path) }, os.ErrNotExist},
	} {
		t.Run(c.name, func(t *testing.T) {
			manager := manager(t)
			path := os.Getenv("NOTIFY_SOCKET")
			t.Setenv("WATCHDOG_USEC", "20000")
			t.Setenv("WATCHDOG_PID", "")
			ctx, end := context.WithCancel(t.Context())
			failures, asked := make(chan error, 100), 0
			isAlive := func(ctx context.Context) error {
				if asked++; asked == 1 {
					return c.fail(ctx, path)
				}
				return nil
			}
			watched := make(chan struct{})
			go func() {
				defer close(watched)
				Watch(ctx, isAlive, func(err error) { failures <- err; c.mend(path) })
			}()
			if got := hear(t, manager); got != "WATCHDOG=1" {
				t.Errorf("heard %q", got)
			}
			end()
			<-watched
			if err := <-failures; !errors.Is(err, c.want) || len(failures) != 0 {
				t.Errorf("failed with %v, and %d more", err, len(failures))
			}
		})
	}
}

// The watchdog hears of a process that is alive.
func TestWatch(t *testing.T) {
	c := manager(t)
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	ctx, end := context.WithCancel(t.Context())
	watched := make(chan struct{})
	never := func(err error) { t.Errorf("failed: %v", err) }
	go func() { Watch(ctx, func(context.Context) error { return nil }, never); close(watched) }()
	for range 2 {
		if got := hear(t, c); got != "WATCHDOG=1" {
			t.Errorf("heard %q", got)
		}
	}
	end()
	<-watched
	for _, c := range []struct{ usec, pid string }{{"", ""}, {"0", ""}, {"-5", ""}, {"x", ""}, {"1000", "1"}, {"9223372036854775807", ""}} {
		t.Setenv("WATCHDOG_USEC", c.usec)
		t.Setenv("WATCHDOG_PID", c.pid)
		if got := watchdog(); got != 0 {
			t.Errorf("%+v: every %s", c, got)
		}
	}
	Watch(t.Context(), nil, never) // without a watchdog
}
