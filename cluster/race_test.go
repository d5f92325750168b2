//go:build race

package cluster

// slow is by how much the race detector makes a node slower.
const slow = 3
