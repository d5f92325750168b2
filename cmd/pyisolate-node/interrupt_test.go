package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"
)

// Ctrl-C ends the guest, whatever it does, and the status says so.
func TestInterruptEndsTheGuest(t *testing.T) {
	for _, backend := range []string{"subinterpreter", "process"} {
		t.Run(backend, func(t *testing.T) {
			c := exec.Command("/proc/self/exe")
			c.Args = []string{"pyisolate-node", "run", "--backend", backend, "-c",
				"post('on')\nwhile True:\n try:\n  while True: pass\n except BaseException: pass"}
			c.Env = append(os.Environ(), mainEnv+"=1")
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(out).ReadString('\n'); line != "on\n" {
				t.Fatalf("first line %q, %v", line, err)
			}
			begun := time.Now()
			if err := c.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			err = c.Wait()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != statusInterrupt {
				t.Errorf("ended with %v, want exit status %d", err, statusInterrupt)
			}
			t.Logf("ended %s after the signal", time.Since(begun).Round(time.Millisecond))
		})
	}
}
