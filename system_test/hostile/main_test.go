package hostile

import (
	"context"
	"flag"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/cell/pydist"
)

var update = flag.Bool("update", false, "write docs/hostile-matrix.md")

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "host":
			os.Exit(host.Main(host.Options{Threads: host.NewThreads}))
		case "bystander": // lives until it is told, or killed
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(0)
		}
	}
	goleak.VerifyTestMain(m)
}

var python = sync.OnceValues(func() (launch.Python, error) {
	d, err := pydist.Resolve(context.Background(), pydist.Options{})
	return launch.Python{Home: d.Home, Lib: d.Lib, Stdlib: d.Stdlib, Preload: []string{"json", "re", "math", "random"}}, err
})

func soon(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	tb.Cleanup(cancel)
	return ctx
}
