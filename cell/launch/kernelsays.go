package launch

import (
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/guard"
)

// kernelSays makes evidence of what the kernel's programs have refused the cell, and ends a
// cell that has used up the processor time of its life: whatever runs in it could go on
// computing, though it may do nothing else.
func (c *handle) kernelSays(e guard.Event) {
	if sink := c.spec.Sink; sink != nil {
		sink.Denied(denialOf(c.id, e, time.Now()))
	}
	if e.Kind == guard.OverQuota && e.Quota == "cpu_total" {
		go c.Kill("CPUExceeded: the quota cpu_total of its policy is used up") // the kernel has more to say meanwhile
	}
}

// denialOf puts an event into the words of evidence.
func denialOf(id string, e guard.Event, now time.Time) cell.Denial {
	d := cell.Denial{Cell: id, Capability: "process", Action: e.Hook, At: now, Kernel: e.Kind.String()}
	switch e.Hook {
	case "open", "execute", "look", "change", "map":
		d.Capability = "fs"
	case "socket", "connect", "send", "serve", "unix", "receive":
		d.Capability = "net"
	case "cpu":
		d.Capability = "cpu"
	}
	switch {
	case e.Path != "":
		d.Action = fmt.Sprintf("%s %s", e.Hook, e.Path)
	case e.Peer.IsValid():
		d.Action = fmt.Sprintf("%s %s", e.Hook, e.Peer)
	}
	switch e.Kind {
	case guard.Denied:
		d.Rule = e.Reason
	case guard.OverQuota:
		d.Rule = "quota " + e.Quota
	case guard.Broken:
		d.Rule = fmt.Sprintf("contract, line %d column %d", e.Line, e.Column)
	case guard.Orphan:
		d.Rule = "what a cell starts is bound to it"
	}
	return d
}
