package group

import "encoding/json"

// Probe is an urgent request that every node answers, whoever leads.
const Probe = `{"poll":true}`

// Urgent tells whether a request, as [Peers] has them, is one that leases hang on and that is answered
// at once: to renew one, or to tell a term. It must not wait for others.
func Urgent(b []byte) bool {
	var q request
	return len(b) <= maxRequest && json.Unmarshal(b, &q) == nil && (q.Renew != nil || q.Poll) && q.Propose == nil && q.Enrol == nil && !q.Index
}
