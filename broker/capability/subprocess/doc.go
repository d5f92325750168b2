// Package subprocess is the capability subprocess.run: programs from a list, with
// arguments from patterns, each run in a jail (package jail) that has no network and
// a few read-only directories.
//
// The guest chooses arguments and standard input within what the grant allows,
// never the environment, the working directory or a shell.
package subprocess
