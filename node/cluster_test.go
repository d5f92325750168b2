package node

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/actors"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/loopback"
	"github.com/pyisolate/pyisolate/policystore"
)

// web is a cell.
var web = actors.Address{Tenant: "default", Name: "web"}

// found makes a data directory that of the first node of a cluster.
func found(t *testing.T, data, name string) {
	t.Helper()
	err := WithData(data, "v1", func(dir string) error {
		if err := policystore.Found(filepath.Join(dir, "policies"), name); err != nil {
			return err
		}
		return cluster.Found(t.Context(), cluster.Founding{Dir: filepath.Join(dir, ClusterDir), Node: name, Address: loopback.Address()})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// callCell calls a function of a cell.
func callCell(n *Node, t *testing.T, name, target string) error {
	t.Helper()
	calls, err := n.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer calls.Close()
	_, err = calls.Cells.Call(t.Context(), connect.NewRequest(&pb.CallRequest{Name: name, Target: target, Args: "[4]"}))
	return err
}

func TestTheFirstNodeOfACluster(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	found(t, data, "n1")
	configure := func(c *Config) {
		c.Data, c.Labels, c.Cells, c.ClusterLease, c.ClusterTimeout = data, map[string]string{"zone": "a"}, 9, 10*time.Second, 150*time.Millisecond
	}
	n, calls, logged := opened(t, configure)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(logged)
		}
	})
	await.That(t, "it is ready", func() bool { return len(n.Readiness().Reasons) == 0 })
	if err := spawn(t, calls, "web"); err != nil {
		t.Fatal(err)
	}
	if err := callCell(n, t, "web", "math.sqrt"); err != nil {
		t.Fatal(err)
	}
	p, known := n.fabric.Find(web)
	if !known || p.Node != "n1" || p.Epoch == 0 {
		t.Errorf("the directory knows %+v, %v", p, known)
	}
	nodes, err := calls.Nodes.ListNodes(t.Context(), connect.NewRequest(&pb.ListNodesRequest{}))
	if err != nil || len(nodes.Msg.GetNodes()) != 1 || nodes.Msg.GetNodes()[0].GetId() != "n1" || nodes.Msg.GetNodes()[0].GetLabels()["zone"] != "a" || nodes.Msg.GetNodes()[0].GetMaxCells() != 9 {
		t.Errorf("the nodes are %v, %v", nodes, err)
	}
	for _, want := range []string{"pyisolate_cluster_lease_valid 1", "pyisolate_cluster_leads 1", `pyisolate_cluster_members{state="voter"} 1`, `pyisolate_cluster_led{group="policies"} 1`} {
		if text := metrics(t, strings.TrimPrefix(n.Addresses()[0], "unix://")); !strings.Contains(text, want) {
			t.Errorf("the metrics have no %s", want)
		}
	}

	// Without its lease it ends its cells, for good.
	seat, _ := n.cluster.Lease().Seat()
	n.fabric.Lapsed(seat)
	if err := callCell(n, t, "web", "math.sqrt"); cell.KindOf(err) != cell.CellGone || !strings.Contains(err.Error(), "cut off from the cluster") {
		t.Errorf("after the lease: %v", err)
	}

	// Another life of the node has another session: what the one before had is gone, and says so.
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n, calls, _ = opened(t, configure)
	await.That(t, "it is ready again", func() bool { return len(n.Readiness().Reasons) == 0 })
	if err := callCell(n, t, "web", "math.sqrt"); cell.KindOf(err) != cell.CellGone || !strings.Contains(err.Error(), "n1") {
		t.Errorf("of the life before: %v", err)
	}
	if err := spawn(t, calls, "web"); err != nil {
		t.Error(err)
	}
	if again, _ := n.fabric.Find(web); again.Epoch <= p.Epoch {
		t.Errorf("epoch %d after %d", again.Epoch, p.Epoch)
	}
}

// metrics are those of the node at a socket, as its own user sees them.
func metrics(t *testing.T, socket string) string {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	back, err := c.Get("http://node/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = back.Body.Close() }()
	text, err := io.ReadAll(back.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestClusterSettingsAreChecked(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		key    string // "": nothing is wrong
	}{
		{"all that there is", func(c *Config) {
			c.Labels, c.Cells, c.CapacityMemory = map[string]string{"zone": "a"}, 1, 1
			c.ClusterListen, c.GossipAdvertise, c.GossipSeeds = ":7700", "host:7701", []string{"other:7701", "10.0.0.1:7701"}
		}, ""},
		{"a label with a space", func(c *Config) { c.Labels = map[string]string{"zone": "a b"} }, "label"},
		{"many labels", func(c *Config) {
			c.Labels = map[string]string{}
			for i := range 17 {
				c.Labels[strconv.Itoa(i)] = ""
			}
		}, "label"},
		{"too many cells", func(c *Config) { c.Cells = MaxCells + 1 }, "cells"},
		{"negative memory", func(c *Config) { c.CapacityMemory = -1 }, "capacity-memory"},
		{"no port", func(c *Config) { c.ClusterListen = "127.0.0.1" }, "cluster-listen"},
		{"port 0", func(c *Config) { c.ClusterAdvertise = "127.0.0.1:0" }, "cluster-advertise"},
		{"every address", func(c *Config) { c.ClusterAdvertise = "0.0.0.0:7700" }, "cluster-advertise"},
		{"every address of gossip", func(c *Config) { c.GossipAdvertise = "[::]:7701" }, "gossip-advertise"},
		{"a port too high", func(c *Config) { c.GossipListen = "127.0.0.1:65536" }, "gossip-listen"},
		{"a seed without a port", func(c *Config) { c.GossipSeeds = []string{"other:7701", "other"} }, "gossip-seed"},
		{"many seeds", func(c *Config) { c.GossipSeeds = slices.Repeat([]string{"other:7701"}, maxSeeds+1) }, "gossip-seed"},
		{"a short lease", func(c *Config) { c.ClusterLease = time.Millisecond }, "cluster-lease"},
		{"a long timeout", func(c *Config) { c.ClusterTimeout = time.Minute }, "cluster-timeout"},
		{"a timeout as long as a lease", func(c *Config) { c.ClusterTimeout = 10 * time.Second }, "cluster-timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := Config{Data: t.TempDir(), Socket: "/run/s"}
			c.change(&config)
			err := config.Validate()
			if (err == nil) != (c.key == "") || err != nil && !strings.HasPrefix(err.Error(), c.key+": ") {
				t.Errorf("error %v, want one of %q", err, c.key)
			}
		})
	}
}
