package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/cell/host"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "host" {
		os.Exit(host.Main(host.Options{Threads: host.NewThreads}))
	}
	os.Exit(m.Run())
}

func TestGuestSeesWhatIsGranted(t *testing.T) {
	var out, evidence bytes.Buffer
	if err := run(context.Background(), &out, &evidence); err != nil {
		t.Fatal(err)
	}
	if want := `{"tea":3.5}` + "\n" + `{"gold":"PolicyDenied"}` + "\n"; out.String() != want {
		t.Errorf("got %s, want %s", out.String(), want)
	}
	for _, part := range []string{"capability=price", "target=gold", "outcome=Denied"} {
		if !strings.Contains(evidence.String(), part) {
			t.Errorf("the records lack %s:\n%s", part, evidence.String())
		}
	}
}
