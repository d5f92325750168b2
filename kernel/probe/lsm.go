package probe

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
)

// lsmVerdict is what the program makes of an open: an error that none gives otherwise.
const lsmVerdict = unix.EXDEV

func lsmRows() []Row {
	return []Row{row(BPFLSM, "attach a program to file_open that judges one thread, and open a file on it", short(osthread.Run(tryLSM)))}
}

// tryLSM attaches a program that refuses this thread's opens. A kernel without "bpf"
// among its active security modules loads and attaches it, and never calls it.
func tryLSM() error {
	me := int64(os.Getpid())<<32 | int64(unix.Gettid())
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.LSM, AttachType: ebpf.AttachLSMMac, AttachTo: "file_open", License: "GPL",
		Instructions: asm.Instructions{
			asm.FnGetCurrentPidTgid.Call(),
			asm.LoadImm(asm.R1, me, asm.DWord),
			asm.JNE.Reg(asm.R0, asm.R1, "other"),
			asm.Mov.Imm(asm.R0, -int32(lsmVerdict)),
			asm.Return(),
			asm.Mov.Imm(asm.R0, 0).WithSymbol("other"),
			asm.Return(),
		}})
	if err != nil {
		return err
	}
	defer func() { _ = prog.Close() }()
	l, err := link.AttachLSM(link.LSMOptions{Program: prog})
	if err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	fd, err := unix.Open("/proc/self/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	if closed := l.Close(); closed != nil {
		return fmt.Errorf("detach: %w", closed)
	}
	if !errors.Is(err, lsmVerdict) {
		return unexpected(err, lsmVerdict)
	}
	return nil
}
