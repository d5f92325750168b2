// A fault on a cell's thread, or on another that C code has started, is the guest's: the process
// dies of that very signal, at once, so that the node can name it. Faults elsewhere are Go's.
#define _GNU_SOURCE
#include "crash.h"

#include "cell.h"

#include <unistd.h>

static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP};
static struct sigaction before[NSIG];
static volatile int *volatile nowhere;

// Go's threads have a stack for signals, and no others do. What Go does with a fault on one of those, to raise it
// again, does not end the first process of a namespace: the thread would fault for ever.
static bool is_gos(void) {
  stack_t s;
  return !sigaltstack(NULL, &s) && s.ss_flags & SS_ONSTACK;
}

static void on_fault(int signo, siginfo_t *info, void *context) {
  if (!cell_current() && is_gos()) {
    if (before[signo].sa_flags & SA_SIGINFO) before[signo].sa_sigaction(signo, info, context);
    else _exit(128 + signo);
    return;
  }
  signal(signo, SIG_DFL);
  // A real fault happens again on return; a sent signal does not. The process
  // may be the first of its namespace, which only a real fault can end.
  if (info->si_code > 0) return;
  if (signo == SIGSEGV) *nowhere = 0;
  _exit(128 + signo);
}

void fault_signals(sigset_t *set) {
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(set, faults[i]);
}

void fault_handlers(void) {
  struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigaction(faults[i], &sa, &before[faults[i]]);
}
