// The kernel's layers around a cell: Landlock rules and a system-call filter, made by
// package kernel/stack and put on here, by the cell's own thread. For both executors.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Takes the encodings of packages kernel/landlock and kernel/seccomp, an empty one for a
// layer that is not to be; once per process. Opens the ruleset. 0, or -1 with err.
int layers_prepare(const void *landlock, size_t landlock_n, const void *seccomp, size_t seccomp_n, char *err, size_t errlen);

// The same for the program of seccomp.CompileNotify, which leaves paths to a supervisor.
int layers_prepare_notify(const void *program, size_t n, char *err, size_t errlen);

// On the cell's thread, before all other layers and while descriptors are still the
// host's: puts the supervisor's filter on and sends its listener, with id as the payload,
// over a SOCK_SEQPACKET socket. Closes both in the table that the thread has then. From
// here on every open waits for the supervisor, and fails when there is none. What failed,
// or NULL; without a program it does nothing, and sock stays open. A table that another
// thread copies meanwhile has the listener, too: a cell closes what is not its own.
const char *layers_notify(int sock, uint64_t id);

// On the cell's thread, in this order, the second when nothing is left that it forbids.
// What failed, or NULL. They cannot be taken off.
const char *layers_landlock(void); // before the ruleset's descriptor is closed
const char *layers_seccomp(void);
