// Package contexts keeps where a user's nodes are and what to call them with, by name, in one
// file of the user's: [File]. The command line reads and writes it; a program that should call
// the node that its user has chosen uses [Load] and [Context.Client].
//
// The file is YAML and has permissions 0600, for tokens may be in it: one that others can read
// is refused. It is replaced as a whole; of two writers at once the last wins.
//
// The package starts no goroutine.
package contexts
