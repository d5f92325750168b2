// Package pki says who a node is: the certificate authority of a cluster, the certificates of
// its nodes, the tokens that new nodes join with, and TLS configurations that let nobody else in.
// It touches files, never the network.
//
// A node's identity is the URI pyisolate://CLUSTER-ID/node/NAME in its certificate, and nothing
// else in it. NAME is also the node's id in Raft and in the directory. CLUSTER-ID is random, and
// stands in the authority's certificate too.
//
//   - [Authority] has the key that signs. Of a request for a certificate it takes the public key
//     alone; the caller says which name it is for.
//   - [Identity] is a node's key and certificate. The key is made by the node and never leaves it.
//     [Identity.Renew] gets another certificate, for a fresh key, after two thirds of the life.
//   - [Token] lets one node join, once, until its [Invite] lapses. The cluster keeps the hash.
//   - [Server] and [Client] are for nodes that have certificates, [JoinServer] and [JoinClient]
//     for a node that has only a token.
//
// Every configuration is TLS 1.3 with the key exchange X25519MLKEM768 and no other, without
// resumption, and trusts the cluster's authority and no other: what was recorded today is not
// read when there are quantum computers. Signatures are ECDSA on P-256; such a computer could
// forge those, from the day that it exists.
//
// Files have mode 0600 and are replaced whole: key and certificate are in one file, so that no
// crash parts them. One that others may read, or that is another user's, is refused.
//
// Authority, Token and Invite do not change after they were made, or are plain values; an
// Identity is safe for concurrent use. The package starts no goroutines.
package pki
