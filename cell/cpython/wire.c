#define _GNU_SOURCE
#include "cell.h"

#include <errno.h>
#include <sched.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// Looks before anything else: well under a microsecond, and a host that answers
// at once is met without a system call.
#define SPIN 100

// Looks with the processor given up between them, before sleeping: to be woken
// from another processor costs more. Where that has not paid LOOKS_MISSED times
// it is tried now and then only.
enum { LOOKS = 100, LOOKS_MISSED = 8, LOOKS_RETRY = 32 };

static long futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout) {
  return syscall(SYS_futex, word, op, value, timeout, NULL, 0); // not PRIVATE: regions cross processes
}

static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

int wire_attach(cell *c, void *region, size_t size, int bell) {
  ring_hdr *h = region;
  if (size < RING_HEADER || h->magic != RING_MAGIC || (h->cap & (h->cap - 1)) ||
      size < RING_HEADER + 2 * (size_t)h->cap + RING_RULES)
    return -1;
  c->hdr = h;
  c->in = (char *)region + RING_HEADER;
  c->out = c->in + h->cap;
  c->rules[0] = c->out + h->cap;
  c->rules[1] = (char *)region + RING_RULES_AT;
  c->mask = h->cap - 1;
  c->bell = bell;
  return 0;
}

static void ring_bell(cell *c) {
  uint64_t one = 1;
  // A full counter means the host has plenty to wake up for already.
  if (write(c->bell, &one, sizeof one) < 0) return;
}

static uint64_t interrupted_op(cell *c) { return atomic_load(&c->hdr->ctl_reason) ? atomic_load(&c->hdr->ctl_op) : 0; }

bool wire_interrupted(cell *c) {
  if (atomic_load(&c->dying)) return true;
  uint64_t op = atomic_load(&c->op), named = interrupted_op(c);
  if (named == RING_ALL) return op || pthread_self() != c->thread; // its own thread runs our code between operations
  return op && named == op;
}

bool wire_stopped(cell *c) {
  if (pthread_self() == c->thread) return wire_interrupted(c);
  return atomic_load(&c->dying) || interrupted_op(c) == RING_ALL;
}

bool wire_pursued(cell *c) {
  bool busy = atomic_load(&c->dying) || atomic_load(&c->op);
  for (int i = 0; i < RING_THREADS && !busy; i++) busy = atomic_load(&c->hdr->threads[i]);
  return busy && wire_interrupted(c);
}

void wire_wake(cell *c) {
  futex(&c->hdr->in_head, FUTEX_WAKE, INT32_MAX, NULL);
  futex(&c->hdr->out_tail, FUTEX_WAKE, INT32_MAX, NULL);
  futex(&c->sending, FUTEX_WAKE, INT32_MAX, NULL);
  futex(&c->received, FUTEX_WAKE, INT32_MAX, NULL);
  futex(&c->hdr->ctl_seq, FUTEX_WAKE, INT32_MAX, NULL);
}

// A net under lost wake-ups (a hostile neighbour in the same process may eat
// one), not a poll.
static const struct timespec net = {.tv_sec = 1};

// Sleeps while *word is value.
static void sleep_on(_Atomic uint32_t *word, uint32_t value, _Atomic uint32_t *flag, const struct timespec *most) {
  atomic_store(flag, 1);
  if (atomic_load(word) == value) futex(word, FUTEX_WAIT, value, most);
  atomic_store(flag, 0);
}

// Waits until the out-ring has room for need bytes. Posts are backpressure, so
// this may take long. Before a frame's first byte an interrupt ends the wait;
// inside a frame only the cell's end does, as half a frame breaks the stream.
static bool wait_room(cell *c, uint32_t head, uint32_t need, bool inside) {
  ring_hdr *h = c->hdr;
  uint32_t room_at = c->mask + 1 - need; // enough once no more than this is unread
  for (int i = 0; i < SPIN; i++) {
    if (head - atomic_load_explicit(&h->out_tail, memory_order_acquire) <= room_at) return true;
    relax();
  }
  PyThreadState *ts = PyThreadState_GetUnchecked();
  if (ts) PyEval_SaveThread();
  bool ok = true;
  for (;;) {
    uint32_t tail = atomic_load(&h->out_tail);
    if (head - tail <= room_at) break;
    if (inside ? atomic_load(&c->dying) : wire_interrupted(c)) {
      ok = false;
      break;
    }
    sleep_on(&h->out_tail, tail, &h->out_full, &net);
  }
  if (ts) PyEval_RestoreThread(ts);
  return ok;
}

static void flush_out(cell *c, uint32_t head) {
  atomic_store(&c->hdr->out_head, head);
  if (atomic_load(&c->hdr->out_parked) && atomic_exchange(&c->hdr->out_parked, 0)) ring_bell(c);
}

static bool put(cell *c, uint32_t *head, const void *src, size_t n) {
  const char *p = src;
  while (n) {
    uint32_t room = c->mask + 1 - (*head - atomic_load_explicit(&c->hdr->out_tail, memory_order_acquire));
    if (!room) {
      flush_out(c, *head);
      if (!wait_room(c, *head, 1, true)) return false;
      continue;
    }
    uint32_t at = *head & c->mask, step = c->mask + 1 - at;
    if (step > room) step = room;
    if (step > n) step = (uint32_t)n;
    memcpy(c->out + at, p, step);
    p += step;
    n -= step;
    *head += step;
  }
  return true;
}

static size_t parts_size(const part *parts, int n) {
  size_t total = 0;
  for (int i = 0; i < n; i++) total += parts[i].n;
  return total;
}

// The guest's threads share the out-ring, and waiting for room lets go of the GIL:
// sending is 0 while nobody writes a frame, 1 while somebody does, 2 when others may wait.
static bool may_send(cell *c) {
  uint32_t nobody = 0;
  return atomic_compare_exchange_strong(&c->sending, &nobody, 1);
}

// false: interrupted.
static bool begin_send(cell *c) {
  if (may_send(c)) return true;
  PyThreadState *ts = PyThreadState_GetUnchecked();
  if (ts) PyEval_SaveThread();
  bool ok = true;
  while (atomic_exchange(&c->sending, 2) && (ok = !wire_interrupted(c))) futex(&c->sending, FUTEX_WAIT, 2, &net);
  if (ts) PyEval_RestoreThread(ts);
  return ok;
}

static void end_send(cell *c) {
  if (atomic_exchange(&c->sending, 0) == 2) futex(&c->sending, FUTEX_WAKE, 1, NULL);
}

static bool send_frame(cell *c, uint8_t kind, uint8_t flags, uint64_t id, const part *parts, int n) {
  size_t size = parts_size(parts, n);
  frame_hdr h = {.len = (uint32_t)size, .kind = kind, .flags = flags, .id = id};
  uint32_t head = atomic_load(&c->hdr->out_head);
  size_t whole = size + sizeof h > c->mask + 1 ? c->mask + 1 : size + sizeof h;
  if (!wait_room(c, head, (uint32_t)whole, false)) return false;
  bool ok = put(c, &head, &h, sizeof h);
  for (int i = 0; ok && i < n; i++) ok = put(c, &head, parts[i].p, parts[i].n);
  flush_out(c, head);
  return ok;
}

bool wire_send(cell *c, uint8_t kind, uint8_t flags, uint64_t id, const part *parts, int n) {
  if (!begin_send(c)) return false;
  bool ok = send_frame(c, kind, flags, id, parts, n);
  end_send(c);
  return ok;
}

bool wire_try_send(cell *c, uint8_t kind, uint8_t flags, uint64_t id, const part *parts, int n) {
  if (!may_send(c)) return false;
  uint32_t used = atomic_load(&c->hdr->out_head) - atomic_load(&c->hdr->out_tail);
  bool ok = used + sizeof(frame_hdr) + parts_size(parts, n) <= c->mask + 1 && send_frame(c, kind, flags, id, parts, n);
  end_send(c);
  return ok;
}

// Of the cells of a process no more look at a time than there are processors: beyond that most of
// the time goes into switching between those that look.
static _Atomic int looking;
static int processors = 1;

__attribute__((constructor(101))) static void count_processors(void) {
  cpu_set_t own;
  if (!sched_getaffinity(0, sizeof own, &own)) processors = CPU_COUNT(&own); // fails beyond 1024
}

// Looks for input for a moment, letting other threads have the processor.
static void look_for_input(cell *c, uint32_t tail) {
  if (c->looks_missed >= LOOKS_MISSED && ++c->looks_turn % LOOKS_RETRY) return;
  bool came = false, crowded = atomic_fetch_add(&looking, 1) >= processors;
  for (int i = 0; i < LOOKS && !came && !crowded; i++) {
    came = atomic_load_explicit(&c->hdr->in_head, memory_order_acquire) != tail;
    if (!came) sched_yield();
  }
  atomic_fetch_sub(&looking, 1);
  if (came) c->looks_missed = 0;
  else if (!crowded && c->looks_missed < LOOKS_MISSED) c->looks_missed++;
}

static bool spin_for_input(cell *c, uint32_t tail) {
  for (int i = 0; i < SPIN; i++) {
    if (atomic_load_explicit(&c->hdr->in_head, memory_order_acquire) != tail) return true;
    relax();
  }
  return false;
}

// Waits until the in-ring holds something. With the GIL held on entry, it is
// released while asleep, so that the guest's other threads run. Inside a frame no
// interrupt ends the wait, as for wait_room.
static bool wait_input(cell *c, uint32_t tail, bool inside) {
  ring_hdr *h = c->hdr;
  if (spin_for_input(c, tail)) return true;
  PyThreadState *ts = PyThreadState_GetUnchecked();
  if (ts) PyEval_SaveThread();
  bool ok = true;
  look_for_input(c, tail);
  while (atomic_load(&h->in_head) == tail && (ok = !(inside ? atomic_load(&c->dying) : wire_stopped(c))))
    sleep_on(&h->in_head, tail, &h->in_parked, &net);
  if (ts) PyEval_RestoreThread(ts);
  return ok;
}

static bool get(cell *c, void *dst, size_t n, bool inside) {
  char *p = dst;
  ring_hdr *h = c->hdr;
  while (n) {
    uint32_t tail = atomic_load_explicit(&h->in_tail, memory_order_relaxed);
    uint32_t have = atomic_load_explicit(&h->in_head, memory_order_acquire) - tail;
    if (!have) {
      if (!wait_input(c, tail, inside)) return false;
      continue;
    }
    uint32_t at = tail & c->mask, step = c->mask + 1 - at;
    if (step > have) step = have;
    if (step > n) step = (uint32_t)n;
    memcpy(p, c->in + at, step);
    p += step;
    n -= step;
    inside = true;
    atomic_store(&h->in_tail, tail + step);
    if (atomic_load(&h->in_full) && atomic_exchange(&h->in_full, 0)) ring_bell(c);
  }
  return true;
}

static bool read_frame(cell *c, frame *f) {
  f->data = NULL;
  if (!get(c, &f->h, sizeof f->h, false)) return false;
  // The host never sends more than the message limit and its own framing.
  if (f->h.len > (80u << 20) || !(f->data = malloc((size_t)f->h.len + 1))) {
    atomic_store(&c->dying, true);
    return false;
  }
  if (!get(c, f->data, f->h.len, true)) {
    free(f->data);
    f->data = NULL;
    atomic_store(&c->dying, true);
    return false;
  }
  f->data[f->h.len] = 0;
  return true;
}

// ---- who gets which frame ------------------------------------------------------------------------
// The loop waits for operations while threads of the guest may wait for answers. One
// of them reads, and puts what is another's where that finds it. All under c->inbox.

typedef struct letter { struct letter *next; uint64_t question; bool arrived; frame f; } letter;

static void keep_operation(cell *c, const frame *f) {
  letter *l = malloc(sizeof *l), **last = &c->operations;
  if (!l) {
    free(f->data);
    atomic_store(&c->dying, true);
    return;
  }
  *l = (letter){.f = *f};
  while (*last) last = &(*last)->next;
  *last = l;
}

static void deliver(cell *c, const frame *f) {
  if (f->h.kind == IN_CLOSE) atomic_store(&c->dying, true);
  else if (f->h.kind != IN_ANSWER) {
    keep_operation(c, f);
    return;
  }
  letter *l = f->h.kind == IN_ANSWER ? c->questions : NULL;
  while (l && l->question != f->h.id) l = l->next;
  if (l) {
    l->f = *f;
    l->arrived = true;
  } else
    free(f->data); // to a question that was given up: the host is told of the operation's
}

// Releases c->inbox meanwhile.
static void read_for_all(cell *c) {
  frame f;
  c->reading = true;
  pthread_mutex_unlock(&c->inbox);
  bool got = read_frame(c, &f);
  pthread_mutex_lock(&c->inbox);
  c->reading = false;
  if (got) deliver(c, &f);
  atomic_fetch_add(&c->received, 1);
  if (c->readers_waiting) futex(&c->received, FUTEX_WAKE, INT32_MAX, NULL);
}

static void let_read(cell *c) {
  uint32_t seen = atomic_load(&c->received);
  c->readers_waiting++;
  pthread_mutex_unlock(&c->inbox);
  PyThreadState *ts = PyThreadState_GetUnchecked();
  if (ts) PyEval_SaveThread();
  futex(&c->received, FUTEX_WAIT, seen, &net);
  if (ts) PyEval_RestoreThread(ts);
  pthread_mutex_lock(&c->inbox);
  c->readers_waiting--;
}

// Where a thread of the guest reads, frames come by way of that. Whoever sleeps on in_head
// is the one reader: the other's flag would be cleared under it.
bool wire_await(cell *c, long nanoseconds) {
  ring_hdr *h = c->hdr;
  pthread_mutex_lock(&c->inbox);
  bool busy = c->operations || c->reading;
  uint32_t tail = atomic_load(&h->in_tail);
  if (!busy) c->reading = true;
  pthread_mutex_unlock(&c->inbox);
  if (busy) return true;
  if (!spin_for_input(c, tail)) {
    PyThreadState *ts = PyEval_SaveThread();
    look_for_input(c, tail);
    sleep_on(&h->in_head, tail, &h->in_parked, &(struct timespec){.tv_nsec = nanoseconds});
    PyEval_RestoreThread(ts);
  }
  pthread_mutex_lock(&c->inbox);
  c->reading = false;
  atomic_fetch_add(&c->received, 1);
  if (c->readers_waiting) futex(&c->received, FUTEX_WAKE, INT32_MAX, NULL);
  pthread_mutex_unlock(&c->inbox);
  return atomic_load(&h->in_head) != tail;
}

bool wire_receive(cell *c, frame *f) {
  pthread_mutex_lock(&c->inbox);
  while (!c->operations && !wire_interrupted(c)) c->reading ? let_read(c) : read_for_all(c);
  letter *l = c->operations;
  if (l) {
    *f = l->f;
    c->operations = l->next;
    free(l);
  }
  pthread_mutex_unlock(&c->inbox);
  return l;
}

void wire_drop(cell *c) {
  pthread_mutex_lock(&c->inbox);
  for (letter *l = c->operations, *next; l; l = next) {
    next = l->next;
    free(l->f.data);
    free(l);
  }
  c->operations = NULL;
  pthread_mutex_unlock(&c->inbox);
}

bool wire_ask(cell *c, uint8_t kind, uint8_t flags, const part *parts, int n, frame *answer) {
  letter l = {0}, **at;
  if (wire_stopped(c)) return false; // so that an operation gives up one question at most
  pthread_mutex_lock(&c->inbox);
  l.question = ++c->last_question;
  l.next = c->questions;
  c->questions = &l;
  pthread_mutex_unlock(&c->inbox);
  bool sent = wire_send(c, kind, flags, l.question, parts, n);
  pthread_mutex_lock(&c->inbox);
  while (sent && !l.arrived && !wire_stopped(c)) c->reading ? let_read(c) : read_for_all(c);
  for (at = &c->questions; *at != &l;) at = &(*at)->next;
  *at = l.next;
  pthread_mutex_unlock(&c->inbox);
  *answer = l.f;
  if (flags & FLAG_BOUND) c->gave_up = sent && !l.arrived;
  return l.arrived;
}
