package landlock

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// signalEnv makes the test binary, started by a restricted thread, signal a process.
const signalEnv = "PYISOLATE_LANDLOCK_SIGNAL"

func TestMain(m *testing.M) {
	if pid, err := strconv.Atoi(os.Getenv(signalEnv)); err == nil {
		fmt.Print(unix.Kill(pid, 0))
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// abiHere skips the test where the kernel has less than least.
func abiHere(t testing.TB, least int) int {
	t.Helper()
	abi, err := ABI()
	if err != nil {
		t.Skip(err)
	}
	if abi < least {
		t.Skipf("Landlock ABI %d here, %d is needed", abi, least)
	}
	return abi
}
