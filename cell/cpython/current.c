// Which cell a thread belongs to. A cell's own thread is bound to it; a thread that
// a guest started is found by its interpreter.
#define _GNU_SOURCE
#include "cell.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static __thread cell *current;
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static cell *registry; // cells that have an interpreter

void cell_bind(cell *c) { current = c; }

void cell_register(cell *c) {
  static uintptr_t serials;
  pthread_mutex_lock(&registry_lock);
  c->serial = ++serials;
  c->next = registry;
  registry = c;
  pthread_mutex_unlock(&registry_lock);
}

void cell_unregister(cell *c) {
  pthread_mutex_lock(&registry_lock);
  for (cell **p = &registry; *p; p = &(*p)->next)
    if (*p == c) {
      *p = c->next;
      break;
    }
  pthread_mutex_unlock(&registry_lock);
}

// A thread the guest started is recognised by its interpreter, once. Its slot in
// the region lets the host add up CPU time, and is given back when it ends.
static pthread_key_t thread_end;
static pthread_once_t thread_end_once = PTHREAD_ONCE_INIT;
static __thread _Atomic uint32_t *slot;

static void leave(void *serial) {
  struct timespec used;
  pthread_mutex_lock(&registry_lock);
  cell *c = registry;
  while (c && c->serial != (uintptr_t)serial) c = c->next; // the cell, and the region with it, may be gone
  if (c && slot && !clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used)) {
    atomic_fetch_add(&c->hdr->threads_cpu, (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec);
    atomic_store(slot, 0);
  }
  children_ended(c);
  pthread_mutex_unlock(&registry_lock);
}

static void make_thread_end(void) { pthread_key_create(&thread_end, leave); }

static void leave_at_end(uintptr_t serial) { // another cell may have this one's address by the end
  pthread_once(&thread_end_once, make_thread_end);
  pthread_setspecific(thread_end, (void *)serial);
}

static void take_slot(cell *c) {
  for (int i = 0; i < RING_THREADS && !slot; i++) {
    uint32_t none = 0;
    if (atomic_compare_exchange_strong(&c->hdr->threads[i], &none, (uint32_t)syscall(SYS_gettid))) slot = &c->hdr->threads[i];
  }
}

void cell_join(uintptr_t serial) {
  leave_at_end(serial);
  pthread_mutex_lock(&registry_lock);
  cell *c = registry;
  while (c && c->serial != serial) c = c->next;
  if (c && c->hdr) take_slot(c);
  pthread_mutex_unlock(&registry_lock);
}

static cell *adopt(void) {
  PyThreadState *ts = PyThreadState_GetUnchecked ? PyThreadState_GetUnchecked() : NULL;
  if (!ts) return NULL;
  PyInterpreterState *interp = PyThreadState_GetInterpreter(ts);
  pthread_mutex_lock(&registry_lock);
  cell *c = registry;
  while (c && c->interp != interp) c = c->next;
  if (c && c->hdr) take_slot(c), leave_at_end(c->serial);
  pthread_mutex_unlock(&registry_lock);
  return current = c;
}

cell *cell_current(void) { return current || !registry ? current : adopt(); }
