package hostile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/internal/await"
)

// traced is a thread that is made to make calls.
type traced struct {
	tid     int
	before  unix.PtraceRegs
	page    uint64
	results []uint64
}

// inject has a sleeping thread make calls and go on sleeping. It returns what they
// answered and what they left in the buffer.
func inject(tid int, calls []call, c *canaries) (answers, left []byte, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	v := &traced{tid: tid}
	if err := v.attach(); err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, v.letGo(err)) }()
	v.page = (v.before.Rsp - 8192) &^ 4095
	for _, one := range calls {
		if err := v.call(one, c); err != nil {
			return v.text(), nil, err
		}
	}
	left = make([]byte, 2048)
	_, err = unix.PtracePeekData(tid, uintptr(v.page+2048), left)
	return v.text(), left, err
}

// attach stops the thread in a system call, where the instruction before its next one is
// what makes another. It is left alone until it sleeps in one: who is stopped again and again
// gets nowhere on a busy machine.
func (v *traced) attach() error {
	for deadline := time.Now().Add(30 * time.Second); ; {
		await.Within(time.Until(deadline), func() bool { return asleep(v.tid) })
		if err := unix.PtraceAttach(v.tid); err != nil {
			return fmt.Errorf("%w: %w", errNoTracer, err)
		}
		if err := v.stopped(); err != nil {
			return err
		}
		err := unix.PtraceGetRegs(v.tid, &v.before)
		if err == nil && v.before.Orig_rax != ^uint64(0) {
			return nil
		}
		if err = errors.Join(err, unix.PtraceDetach(v.tid)); err != nil {
			return fmt.Errorf("read registers: %w", err)
		}
		if time.Now().After(deadline) {
			return errors.New("the thread makes no system call")
		}
	}
}

// asleep tells whether a thread waits in the kernel, or is gone.
func asleep(tid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", tid))
	_, state, _ := strings.Cut(string(stat), ") ")
	return err != nil || strings.HasPrefix(state, "S") || strings.HasPrefix(state, "D")
}

// letGo has the thread go on as it was, also when a call failed: whoever is traced cannot be
// reaped by its parent. Nothing is left to let go of when the kernel has ended it.
func (v *traced) letGo(failed error) error {
	if errors.Is(failed, errKilled) {
		return nil
	}
	return errors.Join(unix.PtraceSetRegs(v.tid, &v.before), unix.PtraceDetach(v.tid))
}

func (v *traced) text() []byte {
	var out []byte
	for _, r := range v.results {
		if n := int64(r); n < 0 && n > -4096 {
			out = fmt.Append(out, syscall.Errno(-n), "; ")
		} else {
			out = fmt.Appendf(out, "%d; ", r)
		}
	}
	return out
}

func (v *traced) call(one call, c *canaries) error {
	if one.data != nil {
		if _, err := unix.PtracePokeData(v.tid, uintptr(v.page), append(one.data(c), 0)); err != nil {
			return fmt.Errorf("write to memory: %w", err)
		}
	}
	now := v.before
	now.Rip -= 2 // the system call instruction it sleeps in
	registers := []*uint64{&now.Rdi, &now.Rsi, &now.Rdx, &now.R10, &now.R8, &now.R9}
	if one.i386 {
		at, err := v.find([]byte{0xcd, 0x80})
		if err != nil {
			return err
		}
		now.Rip, registers = at, []*uint64{&now.Rbx, &now.Rcx, &now.Rdx, &now.Rsi, &now.Rdi, &now.Rbp}
	}
	now.Rax, now.Orig_rax = one.number, ^uint64(0)
	for i, r := range registers {
		*r = v.argument(one.args[i])
	}
	if err := errors.Join(unix.PtraceSetRegs(v.tid, &now), unix.PtraceSingleStep(v.tid)); err != nil {
		return fmt.Errorf("step: %w", err)
	}
	if err := v.stopped(); err != nil {
		return err
	}
	if err := unix.PtraceGetRegs(v.tid, &now); err != nil {
		return fmt.Errorf("read registers: %w", err)
	}
	v.results = append(v.results, now.Rax)
	return nil
}

func (v *traced) argument(a uint64) uint64 {
	switch {
	case a >= dataArgument && a < dataArgument+1024:
		return v.page + a - dataArgument
	case a == bufferArgument:
		return v.page + 2048
	case a == pairArgument:
		var fd [4]byte
		if _, err := unix.PtracePeekData(v.tid, uintptr(v.page+2048), fd[:]); err != nil || int64(v.results[0]) < 0 {
			return ^uint64(0) // there is none
		}
		return uint64(binary.NativeEndian.Uint32(fd[:]))
	case a == pageArgument:
		return v.page
	case a >= resultArgument && a < resultArgument+uint64(len(v.results)):
		return v.results[a-resultArgument]
	}
	return a
}

// find looks for an instruction that is in the process's code anyway, as one who chains
// such pieces does.
func (v *traced) find(code []byte) (uint64, error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", v.tid))
	if err != nil {
		return 0, err
	}
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", v.tid))
	if err != nil {
		return 0, err
	}
	defer func() { _ = memory.Close() }()
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || !strings.Contains(mode, "x") || strings.Contains(line, "[v") {
			continue
		}
		text := make([]byte, to-from)
		if n, _ := memory.ReadAt(text, int64(from)); n > 0 {
			if at := bytes.Index(text[:n], code); at >= 0 {
				return from + uint64(at), nil
			}
		}
	}
	return 0, fmt.Errorf("no code has the bytes %x", code)
}

func (v *traced) stopped() error {
	for {
		var status unix.WaitStatus
		switch _, err := unix.Wait4(v.tid, &status, unix.WALL, nil); {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("wait for the thread: %w", err)
		case status.Exited() || status.Signaled():
			return errKilled
		default:
			return nil
		}
	}
}
