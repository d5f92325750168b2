// How a new sub-interpreter starts. CPython builds its whole import system and
// reads the codec modules from disk for every interpreter, which is most of a
// start's time and half of its memory; the lazy start does it at the first
// import that needs it.
#pragma once
#include <stdbool.h>
#include <stddef.h>

typedef enum {
  FROZEN_PLAIN, // as CPython does it
  FROZEN_SLIM,  // the codec modules from memory
  FROZEN_LAZY,  // the import system and the codecs only when something needs them
} frozen_start;

// Makes the sub-interpreters that are created from now on start that way. Call it
// attached to the main interpreter, after Py_Initialize, while no other thread
// creates an interpreter or imports; lazy interpreters that live already must
// have imported something. stdlib is the directory of the standard library.
// Returns 0, or -1 with the reason in err and nothing changed: the plain start
// goes on working.
int frozen_prepare(frozen_start start, const char *stdlib, char *err, size_t errlen);

// Completes the current, new interpreter. 0, or -1 with an exception.
int frozen_finish(void);

// Is that the marshalled code of a frozen module?
const char *frozen_name(const char *code, size_t n);
