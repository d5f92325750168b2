package fetch

import (
	"testing"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// Headers by which a server learns who asks, and those of the node, pass under no name that a server
// could take for theirs; what the grant names passes as it is named.
func TestHeadersThatAreNotTheGuests(t *testing.T) {
	all, named := &scope{}, &scope{headers: []string{"X-Forwarded-User", "X_real_ip"}}
	for name, want := range map[string]struct{ all, named capability.Kind }{
		"Accept":                {capability.OK, capability.Denied},
		"X-Token_Of":            {capability.OK, capability.Denied},
		"X-Forwarded-For":       {capability.Denied, capability.Denied},
		"x_forwarded_for":       {capability.Denied, capability.Denied},
		"X-Forwarded_For":       {capability.Denied, capability.Denied},
		"X_Real_Ip":             {capability.Denied, capability.OK},
		"X-Real-Ip":             {capability.Denied, capability.Denied},
		"X-Forwarded-User":      {capability.Denied, capability.OK},
		"X_Forwarded_User":      {capability.Denied, capability.Denied},
		"X-Forwarded-Email":     {capability.Denied, capability.Denied},
		"x-forwarded-whatever":  {capability.Denied, capability.Denied},
		"X-Remote-User":         {capability.Denied, capability.Denied},
		"X-Auth-Request-Groups": {capability.Denied, capability.Denied},
		"Remote_User":           {capability.Denied, capability.Denied},
		"Content_Length":        {capability.Denied, capability.Denied},
		"transfer_encoding":     {capability.Denied, capability.Denied},
	} {
		for s, want := range map[*scope]capability.Kind{all: want.all, named: want.named} {
			if _, err := s.requestHeader(map[string]values{name: {"x"}}); capability.KindOf(err) != want {
				t.Errorf("%s where headers are %q: %v, want %s", name, s.headers, err, want)
			}
		}
	}
}
