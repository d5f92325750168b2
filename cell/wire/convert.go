package wire

import (
	"errors"
	"math"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

const (
	// maxText bounds one text of an error: three of them fit a control message.
	maxText = 64 << 10
	// maxName and maxWords bound the texts of a denial.
	maxName, maxWords = 1024, 4096
)

// FromError makes any error sendable; texts are cut to 64 KiB each.
func FromError(err error) *Error {
	var e *cell.Error
	if !errors.As(err, &e) {
		return &Error{Kind: uint32(cell.KindOf(err)), Message: Text(err.Error(), maxText)}
	}
	return &Error{Kind: uint32(e.Kind), Message: Text(e.Message, maxText), Type: Text(e.Type, 1024),
		Traceback: tail(e.Traceback, maxText), Denial: FromDenial(e.Denial)}
}

// ToError is the reverse. A kind this build does not know becomes KindUnknown.
func ToError(e *Error) *cell.Error {
	kind := cell.KindUnknown
	if n := e.GetKind(); n <= math.MaxUint8 && cell.Kind(n).Known() {
		kind = cell.Kind(n)
	}
	return &cell.Error{Kind: kind, Message: e.GetMessage(), Type: e.GetType(),
		Traceback: e.GetTraceback(), Denial: ToDenial(e.GetDenial())}
}

// FromDenial returns nil for nil.
func FromDenial(d *cell.Denial) *Denial {
	if d == nil {
		return nil
	}
	out := &Denial{Cell: d.Cell, Capability: Text(d.Capability, maxName), Action: Text(d.Action, maxWords),
		Rule: Text(d.Rule, maxWords), Kernel: Text(d.Kernel, maxWords), Broker: Text(d.Broker, maxWords)}
	if !d.At.IsZero() {
		out.AtNs = d.At.UnixNano()
	}
	return out
}

// ToDenial returns nil for nil. It cuts what an honest end would have: denials are kept.
func ToDenial(d *Denial) *cell.Denial {
	if d == nil {
		return nil
	}
	out := &cell.Denial{Cell: Text(d.Cell, maxName), Capability: Text(d.Capability, maxName), Action: Text(d.Action, maxWords),
		Rule: Text(d.Rule, maxWords), Kernel: Text(d.Kernel, maxWords), Broker: Text(d.Broker, maxWords)}
	if d.AtNs != 0 {
		out.At = time.Unix(0, d.AtNs)
	}
	return out
}

// FromLimits and ToLimits carry all fields.
func FromLimits(l cell.Limits) *Limits {
	return &Limits{Memory: l.Memory, CpuNs: int64(l.CPU), CpuWindowNs: int64(l.CPUWindow),
		CpuPerWindowNs: int64(l.CPUPerWindow), WallNs: int64(l.Wall), Output: l.Output,
		Files: uint32(l.Files), Children: uint32(l.Children),
		MessageBytes: uint32(l.MessageBytes), QueueItems: uint32(l.QueueItems)}
}

// ToLimits is the reverse of FromLimits; the caller validates.
func ToLimits(l *Limits) cell.Limits {
	return cell.Limits{Memory: l.GetMemory(), CPU: time.Duration(l.GetCpuNs()),
		CPUWindow: time.Duration(l.GetCpuWindowNs()), CPUPerWindow: time.Duration(l.GetCpuPerWindowNs()),
		Wall: time.Duration(l.GetWallNs()), Output: l.GetOutput(),
		Files: int(l.GetFiles()), Children: int(l.GetChildren()),
		MessageBytes: int(l.GetMessageBytes()), QueueItems: int(l.GetQueueItems())}
}

// FromReport carries what the host knows; who the cell is the node knows better.
func FromReport(r cell.Report) *Report {
	return &Report{State: string(r.State), Busy: r.Busy, Reason: Text(r.Reason, 4096),
		CpuNs: int64(r.CPU), Memory: r.Memory, MemoryPeak: r.MemoryPeak, Output: r.Output,
		Posts: r.Posts, Logs: r.Logs, LogsLost: r.LogsLost, Metrics: r.Metrics,
		Requests: r.Requests, Denials: r.Denials, Namespaces: r.Namespaces,
		Start: r.Start, Uid: r.UID}
}

// ToReport is the reverse of FromReport.
func ToReport(r *Report) cell.Report {
	return cell.Report{State: cell.State(r.GetState()), Busy: r.GetBusy(), Reason: r.GetReason(),
		CPU: time.Duration(r.GetCpuNs()), Memory: r.GetMemory(), MemoryPeak: r.GetMemoryPeak(),
		Output: r.GetOutput(), Posts: r.GetPosts(), Logs: r.GetLogs(), LogsLost: r.GetLogsLost(),
		Metrics: r.GetMetrics(), Requests: r.GetRequests(), Denials: r.GetDenials(),
		Namespaces: r.GetNamespaces(), Start: r.GetStart(), UID: r.GetUid()}
}

// Text makes s valid for protobuf and at most n bytes long. It keeps nothing of the rest.
func Text(s string, n int) string {
	if len(s) > n {
		s = strings.Clone(s[:n])
	}
	return strings.ToValidUTF8(s, "")
}

// tail keeps the end: of a traceback, the part that names the error.
func tail(s string, n int) string {
	return strings.ToValidUTF8(s[max(0, len(s)-n):], "")
}

// Body is the part of a Control that says what it is about.
type Body = isControl_Body

// New makes a message about a cell.
func New(cellID, op uint64, body Body, payload []byte) *Msg {
	return &Msg{Control: &Control{Cell: cellID, Op: op, Body: body}, Payload: payload}
}

// NewFailed makes the answer that is an error.
func NewFailed(cellID, op uint64, err error) *Msg {
	return New(cellID, op, &Control_Failed{Failed: &Failed{Error: FromError(err)}}, nil)
}
