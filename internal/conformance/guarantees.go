package conformance

import "github.com/pyisolate/pyisolate/cell"

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
		{"the kernel calls a program of ours", 2, "", tryLSM},
		{"a thread's policy is enforced, and changed while it runs", 2, "", tryThread},
		{"a cell is bound to it, and its policy changed while it runs", 2, threads, tryBound},
		{"a cell is bound to it, and its policy changed while it runs", 2, processes, tryBound},
		{"it also judges a cell's connections", 1, threads, tryBoundNetwork},
		{"it also judges a cell's connections", 1, processes, tryBoundNetwork},
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
		{"it alone holds a cell to its files", 2, threads, withoutNode(tryLandlockCell)},
		{"it alone holds a cell to its files", 2, processes, withoutNode(tryLandlockCell)},
	}},
	{"Landlock network", []check{
		{"a thread connects to the port that a rule permits and to no other", 4, "", tryLandlockConnect},
		{"and cannot bind one", 2, "", tryLandlockBind},
		{"it alone holds a cell to its ports", 2, threads, withoutNode(tryLandlockCellTCP)},
		{"it alone holds a cell to its ports", 2, processes, withoutNode(tryLandlockCellTCP)},
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
	{"quota enforcement", []check{
		{"processor time", 1, "", both(tryCPU)},
		{"memory of Python", 1, "", both(tryMemory)},
		{"wall time in C", 1, "", both(tryWall)},
		{"output", 1, "", both(tryOutput)},
		{"memory that C libraries take", 1, threads, tryLibraryMemory},
		{"memory that C libraries take", 1, processes, tryLibraryMemory},
		{"connections, by the kernel's count", 1, "", both(tryConnects)},
		{"bytes sent, by the kernel's count", 1, "", both(tryBytes)},
		{"processor time of its life, by the kernel's count", 1, "", both(tryLifeCPU)},
		{"a contract, by the kernel", 1, "", both(tryContract)},
	}},
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
