package conformance

import (
	"context"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/cell/pydist"
	"github.com/pyisolate/pyisolate/kernel/enforce"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "host" {
		os.Exit(host.Main(host.Options{Threads: host.NewThreads}))
	}
	goleak.VerifyTestMain(m)
}

func newRunner(t *testing.T) *Runner {
	t.Helper()
	d, err := pydist.Resolve(context.Background(), pydist.Options{})
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := enforce.Open(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kernel.Close(); err != nil {
			t.Error(err)
		}
	})
	return &Runner{Config: launch.Config{Kernel: kernel, Python: launch.Python{Home: d.Home, Lib: d.Lib, Stdlib: d.Stdlib, Preload: []string{"json"}}}}
}
