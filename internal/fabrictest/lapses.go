package fabrictest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

var lapsesRE = regexp.MustCompile(`(?m)^pyisolate_cluster_lease_lapses_total (\d+)$`)

// lapses is how often the node has lost its lease since it was started.
func (n *Node) lapses(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", n.Socket())
	}}}
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://node/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	back, err := c.Do(ask)
	if err != nil {
		return 0, fmt.Errorf("fabrictest: the metrics of %s: %w", n.Name, err)
	}
	defer func() { _ = back.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(back.Body, 16<<20))
	if err != nil {
		return 0, fmt.Errorf("fabrictest: the metrics of %s: %w", n.Name, err)
	}
	found := lapsesRE.FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("fabrictest: the metrics of %s do not tell how often it has lost its lease", n.Name)
	}
	return strconv.Atoi(string(found[1]))
}

// leases is how often nodes have lost theirs.
type leases map[*Node]int

// leases of all nodes that tell.
func (f *Fabric) leases(ctx context.Context) leases {
	had := leases{}
	for _, n := range f.Nodes {
		count, err := n.lapses(ctx)
		if err != nil {
			f.options.Logf("%v", err)
			continue
		}
		had[n] = count
	}
	return had
}

// lapsed excuses, beside what is, a cell that is lost with a lease that lapsed although nothing was done to its
// node. err is what went wrong, if anything did.
func (j *Journey) lapsed(ctx context.Context, struck *Node, may Leniency, err error) (Leniency, error) {
	had := j.had
	j.had = j.Fabric.leases(ctx)
	if may.Lost && err == nil {
		return may, nil
	}
	if may.Lapsed = j.Fabric.lost(had, j.had, struck); may.Lapsed == "" {
		return may, err
	}
	may.Lost = true
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrLost, err)
	}
	return may, err
}

// lost are the nodes that have lost a lease meanwhile, but for the one that was struck; nil: none was.
func (f *Fabric) lost(had, now leases, struck *Node) string {
	var names []string
	for _, n := range f.Nodes {
		if count, told := now[n]; n != struck && told && count > had[n] {
			names = append(names, n.Name)
		}
	}
	return strings.Join(names, ", ")
}
