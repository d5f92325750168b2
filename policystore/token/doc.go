// Package token makes and reads the secrets that clients show: "pyi_" and 59 characters of
// base64url, of which eight bytes are an id, 32 bytes are random and four are a checksum.
//
// The id is not secret: it finds the token in a table, names it in listings and logs, and
// revokes it. The checksum lets a typing error be told from a wrong secret without asking
// anybody; it protects from nothing else. A verifier keeps [Secret.Hash] and not the secret.
// A hash without salt and stretching is enough, since the secret has 256 random bits.
//
// Package policystore stores the hashes. The prefix lets scanners find secrets that were
// published by mistake. The format does not change; another would have another prefix.
package token
