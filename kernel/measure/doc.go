// Package measure takes figures of what the kernel's layers cost, for `pyisolate-node bench`:
// loading the guard, binding a thread, publishing a policy, and what a call takes on a thread
// that is judged beside one that is not.
//
// [Take] does it in the calling process, on threads that end with it. What two threads are
// compared by is taken by turns, so that other work on the machine meets both. Where this
// kernel, or this user, has not the layer, the error wraps [ErrMissing] and there are no
// figures.
//
// The guard is loaded for one Take and detached before it returns: no other guard should be
// attached meanwhile, for its programs would be called for both threads and make the
// difference look smaller. All goroutines end before Take returns.
package measure
