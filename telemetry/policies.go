package telemetry

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Bounds of policies whose versions are told: of one tenant (and of nobody), and of all.
const (
	maxPoliciesOfOne = 64
	maxPolicies      = 1024
)

// policyVersions has the newest version of each policy, within bounds.
type policyVersions struct {
	desc, left *prometheus.Desc

	mu      sync.Mutex
	newest  map[string]uint64
	of      map[string]int
	leftOut map[string]struct{} // bounded too
}

func newPolicyVersions() *policyVersions {
	return &policyVersions{newest: map[string]uint64{}, of: map[string]int{}, leftOut: map[string]struct{}{},
		desc: prometheus.NewDesc("pyisolate_policy_version", "The newest version of a policy.", []string{"policy"}, nil),
		left: prometheus.NewDesc("pyisolate_policies_left_out", "Policies whose versions are not told because of a bound, as far as they are counted.", nil, nil)}
}

func (p *policyVersions) set(policy string, version uint64) {
	owner, _, owned := strings.Cut(policy, "/")
	if !owned {
		owner = ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, there := p.newest[policy]
	switch {
	case version == 0:
		delete(p.leftOut, policy)
		if there {
			delete(p.newest, policy)
			if p.of[owner]--; p.of[owner] == 0 {
				delete(p.of, owner)
			}
		}
		return
	case !there && (p.of[owner] >= maxPoliciesOfOne || len(p.newest) >= maxPolicies || len(policy) > maxLabel):
		if len(p.leftOut) < maxPolicies {
			p.leftOut[policy] = struct{}{}
		}
		return
	case !there:
		p.of[owner]++
		delete(p.leftOut, policy)
	}
	p.newest[policy] = version
}

// Describe implements prometheus.Collector.
func (p *policyVersions) Describe(ch chan<- *prometheus.Desc) { ch <- p.desc; ch <- p.left }

// Collect implements prometheus.Collector.
func (p *policyVersions) Collect(ch chan<- prometheus.Metric) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for policy, version := range p.newest {
		ch <- prometheus.MustNewConstMetric(p.desc, prometheus.GaugeValue, float64(version), policy)
	}
	ch <- prometheus.MustNewConstMetric(p.left, prometheus.GaugeValue, float64(len(p.leftOut)))
}
