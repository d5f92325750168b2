// Package jail runs one program with as little as the kernel lets it have: a file
// system of a few read-only directories, no network, no other processes in sight,
// no privileges and none to be gained, resource limits, and no system calls that
// an ordinary program does without.
//
// The program is started by a second stage of the calling binary, which builds the
// jail around itself from inside and then becomes the program. A main function that
// uses this package, and the TestMain of tests, must therefore call [Init] first.
//
// [Run] fails closed: when the kernel refuses one of the layers it needs, nothing
// runs, unless [Spec.BestEffort] says otherwise. [Result.Layers] tells which held.
//
// The program is process 1 of its PID namespace: all it starts dies with it, and
// signals that it sends itself without having a handler are ignored.
//
// Goroutines: Run keeps its own, locked to its thread, until the program has ended;
// the program dies with that thread.
package jail
