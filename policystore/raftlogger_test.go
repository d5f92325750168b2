package policystore

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func TestRaftLogger(t *testing.T) {
	var out strings.Builder
	to := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	for _, alone := range []bool{false, true} {
		l := raftLogger(to, alone)
		l.Debug("hidden")
		l.Error("failed to heartbeat to", "peer", "n1")
		l.Warn("slow", "peers", hclog.Fmt("%d of %d", 1, 3))
		l.With("id", 7).Error("broken")
	}
	want := `level=WARN msg=slow component=raft peers="1 of 3"
level=ERROR msg=broken component=raft id=7
level=INFO msg=slow component=raft peers="1 of 3"
level=ERROR msg=broken component=raft id=7
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
