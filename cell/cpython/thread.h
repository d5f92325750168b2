// What Go calls. Everything is safe from any thread unless said otherwise.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Loads libpython and starts it on a thread of its own. 0, or -1 with err.
// start: a frozen_start.
int thread_runtime(const char *lib, const char *home, const char *stdlib, int start, char *err, size_t errlen);
// Where cells' threads send the listener of a supervisor's filter, if they have one.
extern int thread_listeners;
// Starts a cell thread on a mapped region; takes a duplicate of bell. NULL: errno.
void *thread_start(void *region, size_t size, int bell, uint64_t id);
// Both return 1 while there is something left to stop: a guest may sleep where
// only another signal wakes it, so the caller tries again.
int thread_interrupt(void *cell); // after the region's control words were set
int thread_kill(void *cell);      // unwind and end
// An eventfd that counts ended threads, and the next ended thread's id (0: none).
// After a thread's id was returned, its region is no longer touched.
void thread_free(void *cell);      // after its id was reaped
int thread_reaper_fd(void);
uint64_t thread_reap(void);
