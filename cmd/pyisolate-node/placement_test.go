package main

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

func TestPlacement(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags placementFlags
		want  *pb.Placement
		says  string // "": it is taken
	}{
		{"nothing is wished", placementFlags{}, nil, ""},
		{"a node", placementFlags{node: "n2"}, &pb.Placement{Node: "n2"}, ""},
		{"labels and layers", placementFlags{labels: []string{"zone=a", "disk="}, layers: []string{"landlock"}},
			&pb.Placement{Labels: map[string]string{"zone": "a", "disk": ""}, Layers: []string{"landlock"}}, ""},
		{"spread", placementFlags{spread: true}, &pb.Placement{Strategy: "spread"}, ""},
		{"pack", placementFlags{pack: true}, &pb.Placement{Strategy: "pack"}, ""},
		{"a value with =", placementFlags{labels: []string{"a=b=c"}}, &pb.Placement{Labels: map[string]string{"a": "b=c"}}, ""},
		{"no value", placementFlags{labels: []string{"zone"}}, nil, "KEY=VALUE"},
		{"no key", placementFlags{labels: []string{"=a"}}, nil, "KEY=VALUE"},
		{"a key twice", placementFlags{labels: []string{"zone=a", "zone=b"}}, nil, "twice"},
		{"a node that must also be searched for", placementFlags{node: "n2", labels: []string{"zone=a"}}, nil, "--node"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.flags.placement()
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("error %v, want %q", err, c.says)
			}
			if !proto.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// Without the flag a request has no id, and with it no two have the same.
func TestAgain(t *testing.T) {
	if id := new(againFlag).id(); id != "" {
		t.Errorf("asked once, as %q", id)
	}
	f := &againFlag{wanted: true}
	if a, b := f.id(), f.id(); a == "" || a == b {
		t.Errorf("%q and %q", a, b)
	}
}

// What a node says of the cluster controls no terminal.
func TestClusterWordsArePlain(t *testing.T) {
	var out, said strings.Builder
	r := &remote{out: &out, err: &said}
	r.showStatus(&pb.StatusResponse{Cluster: hostile, Node: hostile, Leader: hostile, PolicyLeader: hostile, GossipKeys: []string{hostile}, Problems: []string{hostile}})
	r.silent([]string{hostile})
	if text := out.String() + said.String(); controls(text) || strings.Count(out.String(), "\n") != 5 || strings.Count(said.String(), "\n") != 2 {
		t.Errorf("%q", text)
	}
	if text := labels(map[string]string{hostile: hostile}); controls(text) || strings.Contains(text, "\n") {
		t.Errorf("%q", text)
	}
	for _, asJSON := range []bool{false, true} {
		out.Reset()
		r.asJSON = asJSON
		r.show(memberJSONOf(&pb.Member{Name: hostile, State: hostile, Address: hostile, Traits: &pb.Traits{Closed: hostile, Labels: map[string]string{hostile: hostile}}}), "%s", "")
		if text := out.String(); controls(text) {
			t.Errorf("JSON %t: %q", asJSON, text)
		}
	}
}

// A node that does not answer is not shown as one that lacks nothing.
func TestNodeRow(t *testing.T) {
	for name, c := range map[string]struct {
		of   *pb.Node
		want string
	}{
		"silent":  {&pb.Node{Id: "n2", State: "silent"}, "n2\tsilent"},
		"whole":   {&pb.Node{Id: "n1", State: "ready", Version: "v1", Mode: "dev", MaxCells: 4}, "n1\tready\tv1\t0s\t0/4\tdev\t\t\t-\tnothing"},
		"reduced": {&pb.Node{Id: "n1", Version: "v1", Layers: []*pb.Layer{{Name: "landlock"}}}, "n1\t\tv1\t0s\t0/0\t\t\t\t-\tlandlock"},
	} {
		if got := nodeJSONOf(c.of).row(); got != c.want {
			t.Errorf("%s: %q, not %q", name, got, c.want)
		}
	}
}
