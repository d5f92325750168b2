package launch

import (
	"context"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/internal/await"
)

// A host has as long to say that a save is given up as it gives the guest for it.
func TestSaveIsGivenUpAtLeisure(t *testing.T) {
	h, c, _ := impostor(t)
	config := &c.launcher.config
	config.KillGrace, config.AnswerGrace = 50*time.Millisecond, 10*time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	began, given := time.Now(), make(chan struct{})
	go func() {
		_, _ = c.Snapshot(ctx, func([]byte) error { return nil })
		close(given)
	}()
	await.That(t, "the save is asked for", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.pending) > 0
	})
	cancel()
	_ = h.proc.cmd.Wait()
	if took := time.Since(began); took < host.SaveLeisure*config.KillGrace {
		t.Errorf("the host is killed after %s: it %s", took, h.verdict)
	}
	c.finish(cell.Crashed, "its host is dead")
	<-given
}
