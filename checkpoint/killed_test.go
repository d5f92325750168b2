package checkpoint

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/pyisolate/pyisolate/internal/durable"
)

// receiveHalf is a process that has half of a file when it is killed.
func receiveHalf(dir string) error {
	ring, err := OpenRing(filepath.Join(dir, "ring"), nil)
	if err != nil {
		return err
	}
	a, err := OpenArchive(filepath.Join(dir, "files"), ring, Bounds{})
	if err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(dir, "sent"))
	if err != nil {
		return err
	}
	r, err := a.Incoming("m", "shop")
	if err != nil {
		return err
	}
	if err := r.Append(0, b[:len(b)/2]); err != nil {
		return err
	}
	fmt.Println("half")
	select {}
}

// A process that was killed between what has come and the end has nothing of it after that, and the
// transfer begins again.
func TestKilledWhileSomethingArrives(t *testing.T) {
	dir := t.TempDir()
	ring, err := OpenRing(filepath.Join(dir, "ring"), nil)
	must(t, err)
	b := sealed(t, header(), ring, state(2_000_000))
	must(t, os.WriteFile(filepath.Join(dir, "sent"), b, 0o600))
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), receiverEnv+"="+dir)
	out, err := c.StdoutPipe()
	must(t, err)
	must(t, c.Start())
	said := make([]byte, 4)
	if _, err := out.Read(said); err != nil || string(said) != "half" {
		t.Errorf("%q, %v", said, err)
	}
	half, _ := filepath.Glob(filepath.Join(dir, "files", durable.Pattern))
	if len(half) != 1 {
		t.Errorf("on the disk are %v", half)
	}
	must(t, c.Process.Kill())
	_ = c.Wait()
	a, err := OpenArchive(filepath.Join(dir, "files"), ring, Bounds{})
	must(t, err)
	nothingLeft(t, a)
	if at := a.Arriving("m"); at != 0 {
		t.Errorf("it goes on at %d", at)
	}
	if _, err := send(incoming(t, a, "m"), b, 100_000); err != nil {
		t.Error(err)
	}
}
