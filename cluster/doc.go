// Package cluster is a node's part in a cluster.
package cluster
