package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pyisolate/pyisolate/cluster/remote"
	"github.com/pyisolate/pyisolate/cluster/wire"
)

// ClusterStats is what a node knows of its cluster.
type ClusterStats struct {
	// Members, those that vote, and those that answer as gossip says.
	Members, Voters, Alive int
	// PolicyVoters are those that vote on policies, which may come a moment later.
	PolicyVoters int
	// Leads: this node leads the directory. Led, PoliciesLed: somebody leads it, and the policies.
	Leads, Led, PoliciesLed bool
	// Voter: this node votes. Leased: it may run cells. Failed: it applies no changes any more.
	Voter, Leased, Failed bool
	// Applied is the index of the last change that is known here.
	Applied uint64
	// Staleness is how long ago this node last knew that its policies are the newest.
	Staleness time.Duration
	// Lapses is how often the node has lost its lease.
	Lapses uint64
	// Certificate is when the node's lapses.
	Certificate time.Time
	Wire        wire.Stats
	Remote      remote.Stats
}

var (
	clusterMembers = readGauge("pyisolate_cluster_members", "Nodes of the cluster: all, those that vote on the directory and on policies, and those that answer.", "state")
	clusterLeads   = readGauge("pyisolate_cluster_leads", "1 on the node that leads the directory.")
	clusterLed     = readGauge("pyisolate_cluster_led", "1 while this node knows a leader, of the directory and of the policies.", "group")
	clusterVoter   = readGauge("pyisolate_cluster_voter", "1 on a node that votes.")
	clusterLeased  = readGauge("pyisolate_cluster_lease_valid", "1 while this node may run cells.")
	clusterLapses  = readCounter("pyisolate_cluster_lease_lapses_total", "How often this node has lost its lease, and its cells.")
	clusterApplied = readGauge("pyisolate_cluster_applied_index", "The last change of the directory and the roster that this node knows.")
	clusterFailed  = readGauge("pyisolate_cluster_failed", "1 on a node that applies no changes any more; its log says why.")
	clusterStale   = readGauge("pyisolate_policies_staleness_seconds", "How long ago this node last knew that its policies are the newest.")
	clusterExpires = readGauge("pyisolate_cluster_certificate_expiry_timestamp_seconds", "When the certificate of this node lapses.")

	wireOpen       = readGauge("pyisolate_wire_connections", "Connections between nodes, both ways.")
	wireHandshakes = readGauge("pyisolate_wire_handshakes", "Handshakes under way at the port between nodes.")
	wireCame       = readCounter("pyisolate_wire_connections_total", "Connections that came to the port between nodes, by what became of them.", "outcome")

	remoteLinks   = readGauge("pyisolate_remote_links", "Ways of messages to other nodes that are up, and from them.", "direction")
	remoteAsked   = readGauge("pyisolate_remote_questions", "Questions between cells of different nodes that are not answered: asked by this node, and of it.", "direction")
	remoteUnsent  = readGauge("pyisolate_remote_unsent_bytes", "Bytes of messages to other nodes that wait for the network.")
	remoteRefused = readCounter("pyisolate_remote_refused_total", "Connections of other nodes that were ended because of what came over them.")
)

func (s ClusterStats) collect(ch chan<- prometheus.Metric) {
	clusterMembers.give(ch, float64(s.Members), "all")
	clusterMembers.give(ch, float64(s.Voters), "voter")
	clusterMembers.give(ch, float64(s.PolicyVoters), "policy-voter")
	clusterMembers.give(ch, float64(s.Alive), "alive")
	clusterLeads.give(ch, oneIf(s.Leads))
	clusterLed.give(ch, oneIf(s.Led), "directory")
	clusterLed.give(ch, oneIf(s.PoliciesLed), "policies")
	clusterVoter.give(ch, oneIf(s.Voter))
	clusterLeased.give(ch, oneIf(s.Leased))
	clusterLapses.give(ch, float64(s.Lapses))
	clusterApplied.give(ch, float64(s.Applied))
	clusterFailed.give(ch, oneIf(s.Failed))
	clusterStale.give(ch, s.Staleness.Seconds())
	clusterExpires.give(ch, float64(s.Certificate.Unix()))

	wireOpen.give(ch, float64(s.Wire.Open))
	wireHandshakes.give(ch, float64(s.Wire.Handshakes))
	for outcome, n := range map[string]uint64{"accepted": s.Wire.Accepted, "turned-away": s.Wire.TurnedAway, "evicted": s.Wire.Evicted, "failed": s.Wire.Failed, "refused": s.Wire.Refused} {
		wireCame.give(ch, float64(n), outcome)
	}
	remoteLinks.give(ch, float64(s.Remote.Links), "out")
	remoteLinks.give(ch, float64(s.Remote.Visitors), "in")
	remoteAsked.give(ch, float64(s.Remote.Unanswered), "out")
	remoteAsked.give(ch, float64(s.Remote.Answering), "in")
	remoteUnsent.give(ch, float64(s.Remote.Unsent))
	remoteRefused.give(ch, float64(s.Remote.Refused))
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
