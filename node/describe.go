package node

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/kernel/probe"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// tellReduced finds out which layers cells go without, and says so once.
func (n *Node) tellReduced() {
	reduced := []string{}
	findings, _ := stack.CheckAll(probe.Host())
	for _, f := range findings {
		if !f.Met {
			reduced = append(reduced, fmt.Sprintf("%s: %s (%s)", f.Requirement, f.Why, f.Missing))
		}
	}
	if n.kernel.Facts().Layer == "" {
		why := "they are not loaded"
		if err := n.kernel.Refused(); err != nil {
			why = printable(err.Error())
		}
		reduced = append(reduced, "programs in the kernel: files are judged by Landlock or the node, and nothing is counted by cell ("+why+")")
	}
	n.reduced.Store(&reduced)
	if len(reduced) == 0 {
		return
	}
	n.logger.Warn("cells go without some layers", slog.Bool("root", os.Geteuid() == 0), slog.String("mode", string(n.config.Mode)), slog.Any("reduced", reduced))
}

// describe is the node as ListNodes tells it; the server adds its cells.
func (n *Node) describe() *pb.Node {
	var u unix.Utsname
	_ = unix.Uname(&u)
	out := &pb.Node{Id: n.name(), Labels: n.config.Labels, Version: n.config.Version, State: string(n.State()), Started: timestamppb.New(n.started), Uptime: durationpb.New(time.Since(n.started)),
		Mode: string(n.config.Mode), Backends: []string{"subinterpreter", "process"}, Kernel: unix.ByteSliceToString(u.Release[:]),
		Cpus: uint32(runtime.NumCPU()), Memory: memory(), Root: os.Geteuid() == 0, Addresses: n.Addresses(),
		MaxCells: uint32(cmp.Or(n.config.Cells, MaxCells))}
	if s := n.State(); s != Ready && s != Draining { // what follows is not there, or not any more
		return out
	}
	out.Python = n.python.Version
	findings, _ := stack.CheckAll(probe.Host())
	for _, f := range findings {
		l := &pb.Layer{Name: f.Requirement, Active: f.Met, Evidence: f.By}
		if !f.Met {
			l.Evidence, l.Gaps = f.Missing, []string{f.Why}
		}
		out.Layers = append(out.Layers, l)
	}
	facts := n.kernel.Facts()
	programs := &pb.Layer{Name: "programs", Active: facts.Layer != "", Evidence: facts.Evidence}
	if err := n.kernel.Refused(); err != nil {
		programs.Evidence = printable(err.Error())
	}
	out.Layers = append(out.Layers, programs)
	return out
}

// name is the node's in its cluster, or by itself the machine's.
func (n *Node) name() string {
	if n.cluster != nil {
		return n.cluster.Self()
	}
	return hostName()
}

// memory is the machine's, in bytes.
func memory() int64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return int64(info.Totalram) * int64(info.Unit)
}
