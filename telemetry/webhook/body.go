package webhook

import (
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/telemetry/events"
)

// Body is what a request carries. Fields may be added.
type Body struct {
	// Node is the sender's name.
	Node string `json:"node,omitempty"`
	// Events are in the order in which they happened.
	Events []Event `json:"events"`
	// Lost is how many events, of any kind, the hub had dropped before this hook came to them.
	Lost uint64 `json:"lost,omitempty"`
}

// Event is one, as events.Event has it.
type Event struct {
	Index   uint64       `json:"index"`
	Kind    events.Kind  `json:"kind"`
	At      time.Time    `json:"at"`
	Tenant  string       `json:"tenant,omitempty"`
	Cell    string       `json:"cell,omitempty"`
	Epoch   uint64       `json:"epoch,omitempty"`
	Message string       `json:"message,omitempty"`
	Denial  *cell.Denial `json:"denial,omitempty"`
	Policy  string       `json:"policy,omitempty"`
	Version uint64       `json:"version,omitempty"`
	Trace   string       `json:"trace,omitempty"`
}

func eventOf(e events.Event) Event { return Event(e) }
