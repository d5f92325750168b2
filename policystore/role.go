package policystore

import (
	"fmt"
	"strings"

	"github.com/pyisolate/pyisolate/policystore/token"
)

// Role is what a principal may do. Each role may do what those before it may.
// Numbers are stored; they never change.
type Role uint8

const (
	// Viewer reads policies, history and watches.
	Viewer Role = 1
	// Operator runs cells.
	Operator Role = 2
	// PolicyAdmin changes policies.
	PolicyAdmin Role = 3
	// Admin makes and revokes tokens, and reads the audit log.
	Admin Role = 4
)

var roleNames = map[Role]string{Viewer: "viewer", Operator: "operator", PolicyAdmin: "policy-admin", Admin: "admin"}

func (r Role) String() string {
	if name, ok := roleNames[r]; ok {
		return name
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// Valid reports whether r is one of the four roles.
func (r Role) Valid() bool { return r >= Viewer && r <= Admin }

// ParseRole reads a role's name.
func ParseRole(name string) (Role, error) {
	for r, n := range roleNames {
		if n == name {
			return r, nil
		}
	}
	return 0, fmt.Errorf("%w: role %q; there are viewer, operator, policy-admin and admin", ErrInvalid, name)
}

// Principal is who asks. Whoever makes one vouches for it: [Store.Authenticate] by a
// token, the API server by a client's identity on a socket.
type Principal struct {
	// Name goes into the record of what was done: 1 to 128 bytes of UTF-8 on one line.
	Name string
	Role Role
	// Tenant bounds the principal to one tenant's policies and tokens; "" is all.
	Tenant string
	// TokenID is of the token that the principal came with, "" for none. A change is
	// refused when, at the moment it is applied, that token is revoked, expired or
	// grants less.
	TokenID string
}

// Covers reports whether p may change what belongs to a tenant, "" being what is shared.
func (p Principal) Covers(tenant string) bool { return p.Tenant == "" || p.Tenant == tenant }

// MayRead reports whether p may see a policy: its role is at least viewer, and the policy
// is shared or of p's tenant.
func (p Principal) MayRead(name string) bool {
	t := NameTenant(name)
	return p.Role >= Viewer && p.Role.Valid() && (t == "" || p.Covers(t))
}

// MayChange reports whether p may put, delete or roll back a policy.
func (p Principal) MayChange(name string) bool {
	return p.Role >= PolicyAdmin && p.Role.Valid() && p.Covers(NameTenant(name))
}

// check refuses a principal that cannot be recorded.
func (p Principal) check() error {
	if err := checkLine("the principal's name", p.Name, 1, maxPrincipal); err != nil {
		return err
	}
	if !p.Role.Valid() {
		return fmt.Errorf("%w: %s of principal %s", ErrInvalid, p.Role, p.Name)
	}
	if p.TokenID != "" && !token.ValidID(p.TokenID) {
		return fmt.Errorf("%w: principal %s: %.40q is not a token's id", ErrInvalid, p.Name, p.TokenID)
	}
	return checkTenant(p.Tenant)
}

// require refuses a principal whose role or tenant is not enough.
func (p Principal) require(least Role, tenant, what string) error {
	return p.deny(p.judge(least, tenant), least, what)
}

// NameTenant is the tenant a policy belongs to: what is before the first slash of its
// name, "" for a shared policy.
func NameTenant(name string) string {
	tenant, _, found := strings.Cut(name, "/")
	if !found {
		return ""
	}
	return tenant
}
