// A process that is one cell: forked by a zygote, or executed afresh.
#pragma once
#include "control.h"

// Starts CPython single-threaded, imports what cells are likely to, and leaves the
// calling thread attached. Exits, telling the host, when that fails.
void process_start(const config *k);
// Becomes the cell that q asks for. granted are the CLONE_NEW* flags it got.
void process_cell(const request *q, uint64_t granted, int region, int bell, bool forked) __attribute__((noreturn));
