package launch

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// A host that speaks for a cell of another host is cut off; what it says of a cell
// that is gone is only late.
func TestHostSpeaksForItsOwnCellsOnly(t *testing.T) {
	l, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.starter.close()
	elsewhere, err := l.reserve(cell.Spec{Tenant: "other"})
	if err != nil {
		t.Fatal(err)
	}
	host := exec.Command("sleep", "60")
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	h := &hostproc{proc: &process{cmd: host, stderr: new(lastWords)}, alive: l.alive, cells: map[uint64]*handle{}}
	request := func(id uint64) *wire.Msg {
		return wire.New(id, 1, &wire.Control_Request{Request: &wire.Request{Capability: "clock", Action: "now"}}, nil)
	}
	h.take(request(elsewhere.wireID + 1000))
	if h.verdict != "" {
		t.Fatalf("a message for a cell that is gone: %s", h.verdict)
	}
	h.take(request(elsewhere.wireID))
	if err := host.Wait(); err == nil {
		t.Error("the host ended by itself")
	}
	if !strings.Contains(h.epitaph(nil), "a cell that it does not have") {
		t.Errorf("the reason is %q", h.epitaph(nil))
	}
}
