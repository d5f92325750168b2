// The users that process cells run as, each cell its own, where the node is root.
#pragma once
#include "control.h"

#include <stddef.h>

// Has this process take on users such as k->uid and give them to children, and
// makes Python readable to them. why says what hinders it, and is "" where nothing
// does. The process is single-threaded, and CPython has not been loaded yet.
void identity_prepare(const config *k, char *why, size_t n);
// Makes the calling process's user and group id; 0 is what it began as. It keeps
// its capabilities. 0, or an errno.
int identity_take(uint32_t id);
