package document

import "github.com/pyisolate/pyisolate/kernel/policy"

// Withhold is what the sandbox is for a cell that it does not accept, as its boundary is too weak:
// all that bounds, and nothing that permits. No file but Python's own, no network, no module,
// no grant. Its hash is another one.
func (c *Compiled) Withhold() *Compiled {
	w := &Compiled{Sandbox: c.Sandbox, File: c.File, Backend: c.Backend, Dialect: c.Dialect, NUMA: c.NUMA, Limits: c.Limits,
		Restart: c.Restart, Checkpoint: c.Checkpoint, Extra: c.Extra, extraSource: c.extraSource, keys: c.keys}
	w.Policy = policy.Policy{Children: c.Policy.Children, Quotas: c.Policy.Quotas, Contract: c.Policy.Contract}
	w.files, w.net = indexFiles(nil), indexNet(nil)
	w.Hash = w.hash()
	return w
}
