package server

import "github.com/pyisolate/pyisolate/policystore"

// Roles is the least role of each call.
func Roles() map[string]policystore.Role {
	roles := map[string]policystore.Role{}
	for call, r := range rules {
		roles[call] = r.role
	}
	return roles
}
