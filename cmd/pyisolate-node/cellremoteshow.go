package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
)

// received shows one item as run does.
func (p *printer) received(m *pb.StreamResponse) {
	switch item := m.GetItem().(type) {
	case *pb.StreamResponse_Post:
		p.post(valueOf(item.Post))
	case *pb.StreamResponse_Error:
		err := fault.FromDetail(item.Error)
		p.failure(err, statusOf(err))
	case *pb.StreamResponse_Log:
		p.Log(cell.LogRecord{Level: item.Log.GetLevel(), Message: item.Log.GetMessage(), Fields: []byte(item.Log.GetFields())})
	case *pb.StreamResponse_Metric:
		p.Metric(cell.Sample{Name: item.Metric.GetName(), Value: item.Metric.GetValue(), Tags: item.Metric.GetTags()})
	case *pb.StreamResponse_Denial:
		p.Denied(*fault.ToDenial(item.Denial))
	case *pb.StreamResponse_Lost:
		p.Log(cell.LogRecord{Level: "warning", Message: fmt.Sprintf("%d logs, metrics and denials before this are lost", item.Lost)})
	}
}

func valueOf(v *pb.Value) cell.Value {
	if raw, ok := v.GetKind().(*pb.Value_Raw); ok {
		return cell.BytesValue(raw.Raw)
	}
	return cell.Value{Type: cell.JSON, Data: []byte(v.GetJson())}
}

// reportJSON is a cell as --json prints it.
type reportJSON struct {
	Tenant     string          `json:"tenant"`
	Name       string          `json:"name"`
	ID         string          `json:"id"`
	Node       string          `json:"node,omitempty"`
	Backend    string          `json:"backend"`
	State      string          `json:"state"`
	Busy       bool            `json:"busy"`
	Reason     string          `json:"reason,omitempty"`
	Started    *time.Time      `json:"started"`
	CPU        time.Duration   `json:"cpu_ns"`
	Memory     int64           `json:"memory"`
	MemoryPeak int64           `json:"memory_peak"`
	Posts      uint64          `json:"posts"`
	Logs       uint64          `json:"logs"`
	Denials    uint64          `json:"denials"`
	Policy     policyStateJSON `json:"policy"`
	Layers     []cell.Layer    `json:"layers,omitempty"`
	Unheld     []string        `json:"unheld,omitempty"`
	Epoch      uint64          `json:"epoch,omitempty"`
	Migration  *migrationJSON  `json:"migration,omitempty"`
	Checkpoint string          `json:"checkpoint,omitempty"`
	Copies     []string        `json:"copies,omitempty"`
}

type policyStateJSON struct {
	Name         string   `json:"name"`
	Sandbox      string   `json:"sandbox,omitempty"`
	Fixed        bool     `json:"fixed"`
	Version      uint64   `json:"version"`
	Newest       uint64   `json:"newest"`
	Problem      string   `json:"problem,omitempty"`
	Layers       []string `json:"layers,omitempty"`
	NeedsNewCell []string `json:"needs_new_cell,omitempty"`
	Deleted      bool     `json:"deleted,omitempty"`
}

func reportJSONOf(r *pb.CellReport) reportJSON {
	s := r.GetPolicy()
	out := reportJSON{Tenant: r.GetCell().GetTenant(), Name: r.GetCell().GetName(), ID: r.GetId(), Node: r.GetNode(), Backend: r.GetBackend(), State: r.GetState(),
		Busy: r.GetBusy(), Reason: r.GetReason(), Started: momentOf(r.GetStarted()), CPU: r.GetCpu().AsDuration(), Memory: r.GetMemory(),
		MemoryPeak: r.GetMemoryPeak(), Posts: r.GetPosts(), Logs: r.GetLogs(), Denials: r.GetDenials(), Unheld: r.GetUnheld(),
		Epoch: r.GetEpoch(), Migration: migrationJSONOf(r.GetMigration()), Checkpoint: r.GetCheckpoint(), Copies: r.GetCopies(),
		Policy: policyStateJSON{Name: s.GetRef().GetName(), Sandbox: s.GetRef().GetSandbox(), Fixed: s.GetRef().GetVersion() != 0, Version: s.GetVersion(),
			Newest: s.GetNewest(), Problem: s.GetProblem(), Layers: s.GetLayers(), NeedsNewCell: s.GetNeedsNewCell(), Deleted: s.GetDeleted()}}
	for _, l := range r.GetLayers() {
		out.Layers = append(out.Layers, cell.Layer{Name: l.GetName(), Active: l.GetActive(), Evidence: l.GetEvidence(), Gaps: l.GetGaps()})
	}
	return out
}

// policyOf names a cell's policy as spawn does.
func policyOf(r *pb.CellReport) string {
	ref := r.GetPolicy().GetRef()
	if ref.GetSandbox() == "" {
		return ref.GetName()
	}
	return ref.GetName() + ":" + ref.GetSandbox()
}

// report shows one cell for people.
func (r *remote) report(one *pb.CellReport) {
	out := reportJSONOf(one)
	if r.asJSON {
		r.line(out)
		return
	}
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(r.out, format+"\n", args...) }
	if out.Checkpoint != "" {
		say("%s/%s is %s, epoch %d", out.Tenant, out.Name, plain(out.State), out.Epoch)
		say("because %s", plain(out.Reason))
		say("last on node %s; checkpoint %.12s is on %s", plain(out.Node), plain(out.Checkpoint), plain(strings.Join(out.Copies, ", ")))
		return
	}
	say("%s/%s is %s, backend %s, id %s", out.Tenant, out.Name, plain(out.State), plain(out.Backend), plain(out.ID))
	if m := out.Migration; m != nil {
		say("moving to %s: %s", plain(m.To), m.words())
	}
	if out.Reason != "" {
		say("because %s", plain(out.Reason))
	}
	say("policy %s, version %d%s", policyOf(one), out.Policy.Version, out.Policy.standing())
	for _, missing := range out.Policy.NeedsNewCell {
		say("only in a new cell: %s", plain(missing))
	}
	for _, words := range out.Unheld {
		say("not held: %s", plain(words))
	}
	if len(out.Layers) > 0 {
		say("confined by %s", plain(layers(cell.Confinement{Mode: "dev", Layers: out.Layers})))
	}
	say("cpu %s, memory %.1f MiB, peak %.1f MiB, posts %d, logs %d, denials %d", out.CPU.Round(time.Microsecond*10),
		float64(out.Memory)/(1<<20), float64(out.MemoryPeak)/(1<<20), out.Posts, out.Logs, out.Denials)
}

// standing says how the version in force stands to the newest.
func (s policyStateJSON) standing() string {
	var words []string
	if s.Fixed {
		words = append(words, "for its whole life")
	}
	if s.Deleted {
		words = append(words, "the policy is deleted")
	}
	if s.Problem != "" {
		words = append(words, fmt.Sprintf("version %d is not in force: %s", s.Newest, plain(s.Problem)))
	}
	if len(words) == 0 {
		return ""
	}
	return " (" + strings.Join(words, "; ") + ")"
}
