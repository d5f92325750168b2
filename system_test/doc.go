// Package systemtest runs real Python in real host processes through the
// launcher, as a node does: every operation, every error of the vocabulary,
// every kind of bad input and fault, on each backend.
package systemtest
