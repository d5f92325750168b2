package node

import (
	"os"

	"github.com/pyisolate/pyisolate/broker/capability/jail"
	"github.com/pyisolate/pyisolate/cell/host"
)

// HostArgument is the first argument of a process that hosts cells.
const HostArgument = "host"

// Init is to be called first in main, before flags are read or anything is started: cells run
// in processes that are this program, executed again. In such a process Init does not return;
// in any other it does nothing. A test binary that opens nodes calls it in TestMain.
func Init() {
	jail.Init() // does not return in a program that subprocess.run starts
	if len(os.Args) > 1 && os.Args[1] == HostArgument {
		os.Exit(host.Main(host.Options{Threads: host.NewThreads}))
	}
}
