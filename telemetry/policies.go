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

	mu sync.Mutex
	*policySet
}

func newPolicyVersions() *policyVersions {
	return &policyVersions{policySet: newPolicySet(),
		desc: prometheus.NewDesc("pyisolate_policy_version", "The newest version of a policy.", []string{"policy"}, nil),
		left: prometheus.NewDesc("pyisolate_policies_left_out", "Policies whose versions are not told because of a bound, as far as they are counted.", nil, nil)}
}

func (p *policyVersions) set(policy string, version uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.policySet.set(policy, version)
}

// replace has nothing told but what is in a set.
func (p *policyVersions) replace(by *policySet) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.policySet = by
}

// policySet is for one goroutine.
type policySet struct {
	newest  map[string]uint64
	of      map[string]int    // how many of newest are an owner's
	leftOut map[string]uint64 // bounded too
}

func newPolicySet() *policySet {
	return &policySet{newest: map[string]uint64{}, of: map[string]int{}, leftOut: map[string]uint64{}}
}

// set is of a new version; 0: there is none any more, and what was left out may get its place.
func (p *policySet) set(policy string, version uint64) {
	_, told := p.newest[policy]
	switch {
	case version == 0:
		delete(p.leftOut, policy)
		if told {
			p.remove(policy)
			p.admit()
		}
	case told:
		p.newest[policy] = version
	case p.fits(policy):
		p.add(policy, version)
	default:
		if _, known := p.leftOut[policy]; known || len(p.leftOut) < maxPolicies {
			p.leftOut[policy] = version
		}
	}
}

func (p *policySet) fits(policy string) bool {
	return len(policy) <= maxLabel && len(p.newest) < maxPolicies && p.of[ownerOf(policy)] < maxPoliciesOfOne
}

func (p *policySet) add(policy string, version uint64) {
	delete(p.leftOut, policy)
	p.newest[policy] = version
	p.of[ownerOf(policy)]++
}

func (p *policySet) remove(policy string) {
	delete(p.newest, policy)
	owner := ownerOf(policy)
	if p.of[owner]--; p.of[owner] == 0 {
		delete(p.of, owner)
	}
}

// admit tells of the first of those left out for which there is room now.
func (p *policySet) admit() {
	first := ""
	for policy := range p.leftOut {
		if (first == "" || policy < first) && p.fits(policy) {
			first = policy
		}
	}
	if first != "" {
		p.add(first, p.leftOut[first])
	}
}

// ownerOf is the tenant of a policy, "" for none.
func ownerOf(policy string) string {
	owner, _, owned := strings.Cut(policy, "/")
	if !owned {
		return ""
	}
	return owner
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
