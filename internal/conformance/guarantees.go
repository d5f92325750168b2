package conformance

import (
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

const (
	threads   = cell.SubInterpreter
	processes = cell.Process
)

// guarantees are scored by their checks, ten points each. docs/cli.md lists them.
var guarantees = []guarantee{
	{"parallel cells", []check{
		{"two cells of one host compute at once", 5, threads, tryParallelCells},
		{"two cells in processes compute at once", 3, processes, tryParallelCells},
		{"two threads of one cell compute at once", 2, threads, tryParallelThreads},
	}},
	{"eBPF-LSM", []check{
		{"the kernel calls a program of ours", 3, "", tryLSM},
		{"a thread's policy is enforced, and changed while it runs", 3, "", tryReload},
		{"a cell is bound to it, and its policy changed while it runs", 2, threads, tryBound},
		{"a cell is bound to it, and its policy changed while it runs", 2, processes, tryBound},
	}},
	{"cgroup v2", []check{
		{"a group can be made", 2, "", tryGroup},
		{"groups bound processor, memory and tasks", 3, "", tryControllers},
		{"a process cannot go beyond its group's limit of tasks", 2, "", tryTasks},
		{"a cell is in a group of its own", 3, processes, tryCellGroup},
	}},
	{"Landlock fallback", []check{
		{"a thread is refused a file that no rule permits", 3, "", tryLandlockFile},
		{"and cannot truncate it by name", 3, "", tryLandlockTruncate},
		{"cells put on such rules", 2, threads, hasLayer(stack.Landlock)},
		{"cells put on such rules", 2, processes, hasLayer(stack.Landlock)},
	}},
	{"Landlock network", []check{
		{"a thread connects to the port that a rule permits and to no other", 4, "", tryLandlockConnect},
		{"and cannot bind one", 2, "", tryLandlockBind},
		{"cells put on rules that judge TCP", 2, threads, tryCellTCP},
		{"cells put on rules that judge TCP", 2, processes, tryCellTCP},
	}},
	{"extension safety", []check{
		{"an extension module that knows one interpreter only is refused", 4, threads, trySinglePhase},
		{"its host lives on", 3, threads, trySinglePhaseHost},
		{"a guest that may import everything gets no foreign functions", 3, threads, tryForeign},
	}},
	{"broker crypto", []check{
		{"a frame that was changed anywhere is refused, and the session over", 3, "", tryTampered},
		{"a frame that was sent again is refused", 2, "", tryReplayed},
		{"a peer without the secret is refused", 2, "", tryStranger},
		{"a weaker key exchange is refused", 3, "", tryDowngrade},
	}},
	{"quota enforcement", quotas()},
	{"crash isolation", []check{
		{"a SIGSEGV leaves another tenant's cell alone", 3, threads, tryCrash},
		{"a SIGSEGV leaves another tenant's cell alone", 2, processes, tryCrash},
		{"a SIGSEGV leaves the tenant's other cell alone", 3, threads, tryCrashWithin},
		{"a SIGSEGV leaves the tenant's other cell alone", 2, processes, tryCrashWithin},
	}},
	{"microVM readiness", []check{
		{"KVM makes a virtual machine", 4, "", tryKVM},
		{"a machine monitor is installed and runs", 2, "", tryMonitor},
		{"a cell runs in a microVM", 4, "microvm", trySpawn},
	}},
}

func quotas() []check {
	var list []check
	for _, q := range []struct {
		what  string
		trial trial
	}{
		{"processor time", tryCPU}, {"memory of Python", tryMemory}, {"memory that C libraries take", tryLibraryMemory},
		{"wall time in C", tryWall}, {"output", tryOutput},
	} {
		for _, b := range Backends {
			list = append(list, check{q.what, 1, b, q.trial})
		}
	}
	return list
}
