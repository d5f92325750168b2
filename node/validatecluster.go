package node

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/cluster"
	"github.com/pyisolate/pyisolate/cluster/members"
)

// checkCluster looks at what a node says of itself, and at what counts in a cluster.
func (c Config) checkCluster(found *problems) {
	if _, err := (members.Meta{Labels: c.Labels}).Encode(); err != nil {
		found.add("label", err.Error(), "write 16 at most, as zone=a, in ASCII without spaces")
	}
	if c.Cells < 0 || c.Cells > MaxCells {
		found.add("cells", strconv.Itoa(c.Cells)+" is out of range", fmt.Sprintf("write 1 to %d", MaxCells))
	}
	if c.CapacityMemory < 0 {
		found.add("capacity-memory", strconv.FormatInt(c.CapacityMemory, 10)+" is negative", "write a size, as 16GiB")
	}
	for key, text := range map[string]string{"cluster-listen": c.ClusterListen, "cluster-advertise": c.ClusterAdvertise, "gossip-listen": c.GossipListen, "gossip-advertise": c.GossipAdvertise} {
		checkPlace(key, text, found)
	}
	if len(c.GossipSeeds) > maxSeeds {
		found.add("gossip-seed", fmt.Sprintf("there are %d", len(c.GossipSeeds)), fmt.Sprintf("name %d at most: one that answers knows the others", maxSeeds))
	}
	for _, text := range c.GossipSeeds {
		if !isPlace(text) {
			found.add("gossip-seed", fmt.Sprintf("%q is no address", text), "write HOST:PORT, where another node gossips: the port after the one between nodes")
		}
	}
	within := func(key string, d, least, most time.Duration) {
		if d < least || d > most {
			found.add(key, d.String()+" is out of range", fmt.Sprintf("write %s to %s", least, most))
		}
	}
	within("cluster-lease", c.ClusterLease, MinClusterLease, MaxClusterLease)
	within("cluster-timeout", c.ClusterTimeout, MinClusterTimeout, MaxClusterTimeout)
	if c.ClusterTimeout >= c.ClusterLease {
		found.add("cluster-timeout", fmt.Sprintf("%s is no less than cluster-lease, %s", c.ClusterTimeout, c.ClusterLease), "write less: leases outlive a change of the leader")
	}
}

// checkPlace looks at where a node listens, or is reached.
func checkPlace(key, text string, found *problems) {
	switch {
	case text == "":
	case !isPlace(text):
		found.add(key, fmt.Sprintf("%q is no address", text), "write HOST:PORT")
	case strings.HasSuffix(key, "-advertise"):
		if err := cluster.Advertisable(text); err != nil {
			found.add(key, err.Error(), "write HOST:PORT")
		}
	}
}

// maxSeeds bounds where a node looks for others.
const maxSeeds = 16

// MaxCells is how many cells a node can be configured to run.
const MaxCells = 4096

func isPlace(text string) bool {
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}
