// Package token makes and reads the secrets that clients show.
package token
