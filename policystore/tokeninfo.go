package policystore

import (
	"fmt"
	"time"
)

// TokenRequest makes a token.
type TokenRequest struct {
	// Name is what the token's principal is called: 1 to 128 bytes of UTF-8 on one line,
	// without a colon.
	Name string
	Role Role
	// Tenant bounds the token; "" is all tenants.
	Tenant string
	// Expires ends it, in the year 2262 at the latest; the zero time is never.
	Expires time.Time
}

// TokenInfo is what is known of a token: not its secret.
type TokenInfo struct {
	ID        string // 16 hexadecimal digits
	Name      string
	Role      Role
	Tenant    string
	Created   time.Time
	CreatedBy string
	Expires   time.Time // zero: never
	Revoked   time.Time // zero: it is not
}

func (i TokenInfo) expired(now time.Time) bool { return !i.Expires.IsZero() && !now.Before(i.Expires) }

// grant says what the token grants, in the words that its audit records have. They are hashed,
// and never change.
func (i TokenInfo) grant() string {
	s := fmt.Sprintf("%s: %s", i.Name, i.Role)
	if i.Tenant != "" {
		s += " of tenant " + i.Tenant
	}
	if !i.Expires.IsZero() {
		s += ", until " + i.Expires.UTC().Format(time.RFC3339)
	}
	return s
}

// String says what the token grants.
func (i TokenInfo) String() string { return i.grant() }
