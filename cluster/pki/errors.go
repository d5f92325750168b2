package pki

import "errors"

// Why a peer is not let in. The errors that carry these name the certificate.
var (
	// ErrNoIdentity: its certificate does not have one URI that names a node.
	ErrNoIdentity = errors.New("the certificate names no node")
	// ErrCluster: it belongs to another cluster.
	ErrCluster = errors.New("the certificate is of another cluster")
	// ErrName: it is a node, but not the one that was meant.
	ErrName = errors.New("the certificate is of another node")
	// ErrRevoked: the callback refuses it. It wraps the callback's error.
	ErrRevoked = errors.New("the certificate is not allowed")
	// ErrFingerprint: the server is not of the cluster that the token is for.
	ErrFingerprint = errors.New("the server's authority is not the one of the token")
)

// Why a request is not signed, or a token not taken.
var (
	// ErrRequest: it is not a request for a certificate, or not signed by the key it names.
	ErrRequest = errors.New("not a request for a certificate")
	// ErrMalformed: it is not a token, or was mistyped.
	ErrMalformed = errors.New("not a join token")
	// ErrToken: no such invitation, or the wrong secret for it.
	ErrToken = errors.New("the join token is not valid")
	// ErrLapsed: the invitation has lapsed.
	ErrLapsed = errors.New("the join token has lapsed")
	// ErrUsed: another key has joined with it.
	ErrUsed = errors.New("the join token was used")
)

// ErrFile: a file with keys is damaged, or open to others.
var ErrFile = errors.New("not usable as a key file")
