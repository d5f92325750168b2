package main

import (
	"errors"
	"testing"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// A tenant that is given beside a cell is the cell's.
func TestTenantBesideACell(t *testing.T) {
	for _, word := range []string{"crawler", "shop/crawler"} {
		node := new(asking)
		if _, err := node.asks(t, "cell", "checkpoints", "--tenant", "shop", word); err != nil || len(node.asked) != 1 {
			t.Fatalf("%s: %v, asked %v", word, err, node.asked)
		}
		if r := node.asked[0].(*pb.ListCheckpointsRequest); r.GetTenant() != "shop" || r.GetName() != "crawler" {
			t.Errorf("%s: it asks for %v", word, r)
		}
	}
	for _, args := range [][]string{{"cell", "checkpoints", "--tenant", "shop", "other/crawler"}, {"events", "--tenant", "shop", "--cell=other/crawler"}} {
		node := new(asking)
		if _, err := node.asks(t, args...); !errors.Is(err, exitStatus(statusUsage)) || len(node.asked) != 0 {
			t.Errorf("%v: %v, asked %v", args, err, node.asked)
		}
	}
}

// A cell is not spawned without a policy by who wants a version of one.
func TestVersionOfNoPolicy(t *testing.T) {
	node := new(asking)
	if _, err := node.asks(t, "cell", "spawn", "--version", "3", "crawler"); !errors.Is(err, exitStatus(statusUsage)) || len(node.asked) != 0 {
		t.Errorf("%v, asked %v", err, node.asked)
	}
}

// What is expected of a checkpoint is not forgotten where none is named.
func TestRestoreByNameExpectsNothing(t *testing.T) {
	for _, flag := range []string{"--epoch=3", "--of=other"} {
		node := new(asking)
		if _, err := node.asks(t, "cell", "restore", flag, "crawler"); !errors.Is(err, exitStatus(statusUsage)) || len(node.asked) != 0 {
			t.Errorf("%s: %v, asked %v", flag, err, node.asked)
		}
	}
}
