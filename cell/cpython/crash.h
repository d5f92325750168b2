// How a process ends when a guest crashes it.
#pragma once
#include <signal.h>

void fault_signals(sigset_t *set); // removes the fault signals from set
void fault_handlers(void);         // keeps the handlers that are there for other threads
