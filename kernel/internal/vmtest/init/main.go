// Command init is process 1 of a machine that vmtest boots: it mounts what tests want,
// runs every test in vmtest.TestsDir and switches the machine off.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/internal/vmtest"
)

// mounts are made in this order.
var mounts = []struct{ kind, at string }{
	{"devtmpfs", "/dev"}, {"tmpfs", "/dev/shm"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/tmp"},
	{"securityfs", "/sys/kernel/security"}, {"cgroup2", "/sys/fs/cgroup"}, {"bpf", "/sys/fs/bpf"},
}

func main() {
	prepare()
	for _, dir := range tests() {
		run(dir)
	}
	fmt.Println(vmtest.MarkDone)
	unix.Sync()
	fmt.Println("power off:", unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
}

func prepare() {
	for _, m := range mounts {
		_ = os.MkdirAll(m.at, 0o755) // what matters is the mount
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			fmt.Printf("mount %s on %s: %v\n", m.kind, m.at, err)
		}
	}
	_ = os.Symlink("/proc/self/fd", "/dev/fd")
	for _, dir := range []string{"/tmp", "/dev/shm"} {
		_ = unix.Chmod(dir, 0o1777)
	}
	if err := loopback(); err != nil {
		fmt.Println("switch the loopback interface on:", err)
	}
	var u unix.Utsname
	_ = unix.Uname(&u)
	modules, _ := os.ReadFile("/sys/kernel/security/lsm")
	fmt.Printf("kernel %s, security modules %s\n", unix.ByteSliceToString(u.Release[:]), modules)
}

func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

func tests() []string {
	list, _ := filepath.Glob(filepath.Join(vmtest.TestsDir, "*", "test")) // the pattern is ours
	slices.Sort(list)
	for i := range list {
		list[i] = filepath.Dir(list[i])
	}
	return list
}

func run(dir string) {
	name := strings.ReplaceAll(filepath.Base(dir), " ", "_")
	fmt.Println(vmtest.MarkBegin + name)
	begin := time.Now()
	command := commandOf(dir)
	c := exec.Command(filepath.Join(dir, "test"), command.Args...)
	c.Dir = dir
	c.Env = append([]string{"PATH=/bin", "TMPDIR=/tmp", "HOME=/", vmtest.InsideEnv + "=1"}, command.Env...)
	// Through a pipe: programs show their progress on a terminal.
	out := struct{ io.Writer }{os.Stdout}
	c.Stdout, c.Stderr = out, out
	c.WaitDelay = 5 * time.Second // what it has left running has the pipe, too
	err := c.Run()
	status := -1
	if c.ProcessState != nil {
		status = c.ProcessState.ExitCode()
	}
	if err != nil && status == -1 {
		fmt.Println(err)
	}
	fmt.Printf("\n%s%s %d %s\n", vmtest.MarkEnd, name, status, time.Since(begin).Round(time.Millisecond))
}

// commandOf is what the test says, or as test binaries are run.
func commandOf(dir string) vmtest.Command {
	var command vmtest.Command
	text, err := os.ReadFile(filepath.Join(dir, vmtest.CommandFile))
	if err == nil {
		err = json.Unmarshal(text, &command)
	}
	if err != nil && !os.IsNotExist(err) {
		fmt.Println(err)
	}
	if err != nil {
		more, _ := os.ReadFile(vmtest.FlagsFile) // there need be none
		command.Args = append([]string{"-test.v", "-test.timeout=240s"}, strings.Fields(string(more))...)
	}
	return command
}
