// Which modules a new sub-interpreter starts from. A plain start imports the
// bootstrap modules from disk each time, which is most of its cost.
#pragma once
#include <stddef.h>

typedef enum {
  FROZEN_PLAIN, // as CPython does it
  FROZEN_SLIM,  // the same modules, from memory
  FROZEN_LAZY,  // the import system itself only when something is imported
} frozen_start;

// Makes sub-interpreters that are created from now on start that way. Call it
// attached to the main interpreter, after Py_Initialize, while no other thread
// creates an interpreter or imports. Interpreters that live already are not
// affected, but for `encodings` coming from memory. stdlib is the directory of
// the standard library. Returns 0, or -1 with the reason in err and nothing
// changed: the plain start goes on working.
int frozen_prepare(frozen_start start, const char *stdlib, char *err, size_t errlen);
