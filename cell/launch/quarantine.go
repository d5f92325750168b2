package launch

import "github.com/pyisolate/pyisolate/cell"

// bar ends the requests of a guest that are under way, and refuses those to come. The host of one that is
// quarantined does so, too; threads that the guest has started go on until it does, and one that is taken
// over goes on for good.
func (c *handle) bar(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.barred = cell.Errorf(cell.CellGone, "%s", why)
	c.requests.over()
	for _, p := range c.pending {
		p.requests.over()
	}
}

// barredBy is what a request comes to that is not to be served. It is asked when the request has
// its context, which bar ends.
func (c *handle) barredBy() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.barred
}
