// The kernel's layers around a cell: Landlock rules and a system-call filter, made by
// package kernel/stack and put on here, by the cell's own thread. For both executors.
#pragma once
#include <stdbool.h>
#include <stddef.h>

// Takes the encodings of packages kernel/landlock and kernel/seccomp, an empty one for a
// layer that is not to be; once per process. Opens the ruleset. 0, or -1 with err.
int layers_prepare(const void *landlock, size_t landlock_n, const void *seccomp, size_t seccomp_n, char *err, size_t errlen);

// On the cell's thread, in this order, the second when nothing is left that it forbids.
// What failed, or NULL. They cannot be taken off.
const char *layers_landlock(void); // before the ruleset's descriptor is closed
const char *layers_seccomp(void);
