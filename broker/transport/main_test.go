package transport

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// peerEnv makes this test binary a peer: another process at the other end of the
// socket it inherits, which uses plain system calls.
const peerEnv = "TRANSPORT_TEST_PEER"

func TestMain(m *testing.M) {
	if role := os.Getenv(peerEnv); role != "" {
		os.Exit(peer(role))
	}
	goleak.VerifyTestMain(m)
}

func peer(role string) int {
	const fd = 3
	buf := make([]byte, 64<<10)
	for {
		n, err := len(buf), error(nil)
		if role != "source" {
			if n, err = unix.Read(fd, buf); n == 0 && err == nil {
				return 0
			}
		}
		for out := buf[:max(n, 0)]; role != "sink" && err == nil && len(out) > 0; out = out[n:] {
			n, err = unix.Write(fd, out)
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return 1
		}
	}
}

// startPeer returns this side's end of a socket to a new peer, which ends with it.
func startPeer(t testing.TB, role string) (*os.File, *exec.Cmd) {
	t.Helper()
	ours, theirs, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s", peerEnv, role))
	cmd.ExtraFiles = []*os.File{theirs}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	return ours, cmd
}
