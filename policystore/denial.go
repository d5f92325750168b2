package policystore

import "fmt"

// denial is why a principal may not do what it proposed, as records have it. Numbers are
// stored and hashed; they never change. The words are no part of what nodes agree on.
type denial uint8

const (
	allowed        denial = 0
	deniedRole     denial = 1
	deniedTenant   denial = 2
	deniedRevoked  denial = 3
	deniedExpired  denial = 4
	deniedOfTenant denial = 5
)

var denialWords = map[denial]string{
	allowed:        "",
	deniedRole:     "the principal's role, or its token's, is not enough",
	deniedTenant:   "the principal is bound to another tenant",
	deniedRevoked:  "the principal's token is revoked",
	deniedExpired:  "the principal's token has expired",
	deniedOfTenant: "the principal's token is of another tenant",
}

func (d denial) String() string {
	if words, ok := denialWords[d]; ok {
		return words
	}
	return fmt.Sprintf("reason %d", uint8(d))
}

// judge says why a principal may not do something that needs a role, for a tenant.
func (p Principal) judge(least Role, tenant string) denial {
	switch {
	case p.Role < least:
		return deniedRole
	case !p.Covers(tenant):
		return deniedTenant
	}
	return allowed
}

// deny is the error for a principal that may not do something.
func (p Principal) deny(d denial, least Role, what string) error {
	switch d {
	case allowed:
		return nil
	case deniedRole:
		return fmt.Errorf("%w: %s needs the role %s; %s is %s", ErrDenied, what, least, p.Name, p.Role)
	case deniedTenant:
		return fmt.Errorf("%w: %s: %s is bound to tenant %s", ErrDenied, what, p.Name, p.Tenant)
	}
	return fmt.Errorf("%w: %s: %s (token %s)", ErrDenied, what, d, p.TokenID)
}
