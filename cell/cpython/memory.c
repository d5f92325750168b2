// Accounting per cell, exact to the byte: every block CPython takes from the
// system carries its owner, so a block freed on another thread is credited to
// the cell that took it. Small objects are counted by the arena they live in.
#define _GNU_SOURCE
#include "cell.h"

#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 // since Linux 5.14; older kernels refuse it, and nothing is lost
#endif
#include <sys/syscall.h>
#include <unistd.h>

typedef struct { cell *owner; size_t size; } header; // keeps 16-byte alignment

// What an interpreter is made of has large blocks that are written in part, or not at
// all. Before the claim those are pages of their own, so that malloc cannot make them of
// what it has at hand and clear it. The bit is in a header's size.
#define PAGED ((size_t)1 << 63)
#define PAGED_FROM (64 << 10)

static void publish(cell *c, int64_t used) {
  ring_hdr *h = c->hdr;
  if (!h) return;
  int64_t net = used - c->base;
  atomic_store_explicit(&h->mem_used, net, memory_order_relaxed);
  if (net > atomic_load_explicit(&h->mem_peak, memory_order_relaxed))
    atomic_store_explicit(&h->mem_peak, net, memory_order_relaxed);
}

static bool charge(cell *c, size_t n) {
  if (!c) return true;
  int64_t most = c->claimed ? c->base + rules_memory(c) + c->slack + c->room : INT64_MAX / 2;
  int64_t used = atomic_load_explicit(&c->used, memory_order_relaxed);
  do { // nothing is added that does not fit, for others to see, and no sum runs over
    if (used <= most && n <= (uint64_t)(most - used)) continue;
    if (c->hdr) atomic_fetch_add_explicit(&c->hdr->mem_denied, 1, memory_order_relaxed);
    return false;
  } while (!atomic_compare_exchange_weak_explicit(&c->used, &used, used + (int64_t)n, memory_order_relaxed, memory_order_relaxed));
  publish(c, used + (int64_t)n);
  return true;
}

static void credit(cell *c, size_t n) {
  if (!c) return;
  publish(c, atomic_fetch_sub_explicit(&c->used, (int64_t)n, memory_order_relaxed) - (int64_t)n);
}

static void *map_pages(size_t n) {
  void *p = (void *)syscall(SYS_mmap, NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

static void remember(cell *c, void *p, size_t n) {
  if (!c->poking) return; // it will not rest
  pthread_mutex_lock(c->poking);
  if (c->n_pages < sizeof c->pages / sizeof *c->pages) c->pages[c->n_pages++] = (page_run){p, n};
  pthread_mutex_unlock(c->poking);
}

// What is unmapped may be somebody else's at once. The lock keeps that from happening in
// the middle of a rest: blocks can be freed by any thread.
static void forget(cell *c, void *p) {
  if (!c || !c->poking) return;
  pthread_mutex_lock(c->poking);
  for (size_t i = 0; i < c->n_pages; i++)
    if (c->pages[i].p == p) c->pages[i] = c->pages[--c->n_pages];
  pthread_mutex_unlock(c->poking);
}

// Takes n bytes, cleared if wanted, for the running cell.
static void *take(size_t n, bool clear) {
  cell *c = cell_current();
  if (n > PTRDIFF_MAX - sizeof(header) || !charge(c, n)) return NULL;
  size_t whole = n + sizeof(header);
  bool paged = c && !c->claimed && n >= PAGED_FROM;
  header *h = paged ? map_pages(whole) : clear ? calloc(1, whole) : malloc(whole);
  if (!h) {
    credit(c, n);
    return NULL;
  }
  if (paged) remember(c, h, whole);
  h->owner = c;
  h->size = paged ? n | PAGED : n;
  return h + 1;
}

static void *raw_malloc(void *ctx, size_t n) {
  (void)ctx;
  return take(n, false);
}

static void *raw_calloc(void *ctx, size_t count, size_t size) {
  (void)ctx;
  size_t n;
  return __builtin_mul_overflow(count, size, &n) ? NULL : take(n, true);
}

static void raw_free(void *ctx, void *p) {
  (void)ctx;
  if (!p) return;
  header *h = (header *)p - 1;
  size_t n = h->size & ~PAGED;
  bool paged = h->size & PAGED;
  cell *c = h->owner;
  if (paged) {
    forget(c, h);
    syscall(SYS_munmap, h, n + sizeof(header));
  } else
    free(h);
  credit(c, n);
}

static void *move(void *p, size_t old, size_t n) {
  void *to = take(n, false);
  if (!to) return NULL;
  memcpy(to, p, old < n ? old : n);
  raw_free(NULL, p);
  return to;
}

static void *raw_realloc(void *ctx, void *p, size_t n) {
  if (!p) return raw_malloc(ctx, n);
  if (n > PTRDIFF_MAX - sizeof(header)) return NULL;
  header *h = (header *)p - 1;
  cell *c = h->owner;
  size_t old = h->size & ~PAGED;
  if (h->size & PAGED) return move(p, old, n);
  if (n > old && !charge(c, n - old)) return NULL;
  header *moved = realloc(h, n + sizeof(header));
  if (!moved) {
    if (n > old) credit(c, n - old);
    return NULL;
  }
  if (n < old) credit(c, old - n);
  moved->size = n;
  return moved + 1;
}

void *memory_resize(void *p, size_t n) { return raw_realloc(NULL, p, n); }

void memory_free(void *p) { raw_free(NULL, p); }

// What a start uses of an arena in any case.
#define STARTED (256 << 10)

// Arenas and the guest's own mappings are whole pages without a header; the
// running cell is the owner, as an interpreter's arenas stay its own.
static void *arena_alloc(void *ctx, size_t n) {
  (void)ctx;
  cell *c = cell_current();
  if (!charge(c, n)) return NULL;
  void *p = map_pages(n);
  if (!p) {
    credit(c, n);
    return NULL;
  }
  if (c && !c->claimed && n > STARTED) {
    madvise(p, STARTED, MADV_POPULATE_WRITE); // one call for as many faults
    remember(c, p, n);
  } else if (c)
    memory_grows(c);
  return p;
}

static void arena_free(void *ctx, void *p, size_t n) {
  (void)ctx;
  if (!p) return; // finalisation frees arenas it never took
  cell *c = cell_current();
  forget(c, p);
  credit(c, n);
  syscall(SYS_munmap, p, n);
}

// ---- the first rest ------------------------------------------------------------------------------

// The collector would look at all of a new interpreter's objects before the guest's first
// line: it waits until the guest has taken memory, or rests.
void memory_hold_collector(cell *c) {
  PyGC_Disable();
  c->collector_waits = true;
}

void memory_grows(cell *c) {
  if (!c->collector_waits) return;
  c->collector_waits = false;
  PyGC_Enable();
}

static bool zero(const char *page, size_t n) { return !*page && !memcmp(page, page + 1, n - 1); }

// Gives pages back that hold nothing but zeros. Nobody else may write to them meanwhile. To
// look at one that was never touched takes no page, and mincore is not a cell's to call.
static void give_back(page_run r) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), n = (r.n + page - 1) / page;
  for (size_t i = 0, first = 0; i <= n; i++) {
    if (i < n && zero((char *)r.p + i * page, page)) continue;
    if (i > first) madvise((char *)r.p + first * page, (i - first) * page, MADV_DONTNEED);
    first = i + 1;
  }
}

// What a start has touched and an idle cell does not need. No other thread is in the interpreter.
void memory_rest(cell *c) {
  if (c->unused) PyType_ClearCache(); // it frees names, and perhaps with them an arena, which takes the lock
  pthread_mutex_lock(c->poking);
  lookups_lend(c);
  for (size_t i = 0; i < c->n_pages; i++) give_back(c->pages[i]);
  c->n_pages = 0;
  pthread_mutex_unlock(c->poking);
}

// By itself malloc maps blocks of 128 KiB and more, and where some are freed the others become mappings of their own.
// Those below HEAPED, which is the most it takes, lie in heaps; the end of a heap is given back when KEPT of it is free.
#define HEAPED (32 << 20)
#define KEPT (16 << 20)

void memory_share(void) {
  mallopt(M_MMAP_THRESHOLD, HEAPED);
  mallopt(M_TRIM_THRESHOLD, KEPT);
}

void memory_hook(void) {
  PyMemAllocatorEx raw = {NULL, raw_malloc, raw_calloc, raw_realloc, raw_free};
  PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &raw);
  PyObjectArenaAllocator arena = {NULL, arena_alloc, arena_free};
  PyObject_SetArenaAllocator(&arena);
}

void memory_finish(cell *c) {
  lookups_forget(c);
  c->hdr = NULL;
  c->poking = NULL; // the thread's, which ends
  // What is left belongs to process-wide tables of CPython; its headers point
  // here, so a few hundred bytes stay with it.
  if (atomic_load(&c->used) == 0) free(c);
}

// A process may have some 65,000 mappings, and dies where it gets none: a cell has so many of its own, and all cells
// of a process leave it three quarters, for its heap and for cells themselves. The threads of guests count as all
// cells' mappings: each has a stack, and a page below it that nobody may touch.
#define MAPPINGS 512
#define MAPPINGS_OF_STACK 2
#define MAPPINGS_OF_ALL (16 << 10)
static _Atomic int mappings_of_all;

static size_t whole_pages(size_t n) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  return n > SIZE_MAX - page ? n : (n + page - 1) / page * page;
}

static bool begin_mapping(cell *c, size_t n) {
  if (!c) return true;
  bool few = atomic_fetch_add(&c->mappings, 1) < MAPPINGS;
  if (atomic_fetch_add(&mappings_of_all, 1) < MAPPINGS_OF_ALL && few && charge(c, n)) return true;
  atomic_fetch_sub(&mappings_of_all, 1);
  atomic_fetch_sub(&c->mappings, 1);
  return false;
}

static void end_mapping(cell *c, size_t n) {
  if (!c) return;
  atomic_fetch_sub(&mappings_of_all, 1);
  atomic_fetch_sub(&c->mappings, 1);
  credit(c, n);
}

bool memory_map_stack(void) {
  if (atomic_fetch_add(&mappings_of_all, MAPPINGS_OF_STACK) <= MAPPINGS_OF_ALL - MAPPINGS_OF_STACK) return true;
  memory_unmap_stack();
  return false;
}

void memory_unmap_stack(void) { atomic_fetch_sub(&mappings_of_all, MAPPINGS_OF_STACK); }

// The mmap module calls these through libpython's import table, where the
// executable's definitions come first; libc's own use is not affected. So a mapping
// counts like any other memory, one of a file (which SQLite makes) too: what unmaps it does not know.
__attribute__((visibility("default"))) void *mmap(void *addr, size_t n, int prot, int flags, int fd, off_t off) {
  cell *c = cell_current();
  // Whoever cuts a file ends those who look at what they have mapped of it: where that is others' process, SQLite
  // does without.
  if (c && c->shared && !(flags & MAP_ANONYMOUS)) {
    errno = ENODEV;
    return MAP_FAILED;
  }
  if (!begin_mapping(c, whole_pages(n))) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  void *p = (void *)syscall(SYS_mmap, addr, n, prot, flags, fd, off);
  if (p == MAP_FAILED) end_mapping(c, whole_pages(n));
  return p;
}

// The same function, under the name that code built for large files calls.
__attribute__((visibility("default"), alias("mmap"))) void *mmap64(void *, size_t, int, int, int, off64_t);

__attribute__((visibility("default"))) int munmap(void *addr, size_t n) {
  int rc = (int)syscall(SYS_munmap, addr, n);
  if (!rc) end_mapping(cell_current(), whole_pages(n));
  return rc;
}

__attribute__((visibility("default"))) void *mremap(void *addr, size_t old, size_t n, int flags, ...) {
  va_list args;
  va_start(args, flags);
  void *to = flags & MREMAP_FIXED ? va_arg(args, void *) : NULL;
  va_end(args);
  cell *c = cell_current();
  size_t before = whole_pages(old), after = whole_pages(n);
  if (after > before && !charge(c, after - before)) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  void *p = (void *)syscall(SYS_mremap, addr, old, n, flags, to);
  if (p == MAP_FAILED && after > before) credit(c, after - before);
  if (p != MAP_FAILED && after < before) credit(c, before - after);
  return p;
}

// Advice that the kernel remembers for a part makes mappings of the parts. A guest's is heard, and not passed on.
__attribute__((visibility("default"))) int madvise(void *addr, size_t n, int advice) {
  bool remembered = advice <= MADV_SEQUENTIAL || (advice >= MADV_DONTFORK && advice <= MADV_KEEPONFORK);
  return remembered && cell_current() ? 0 : (int)syscall(SYS_madvise, addr, n, advice);
}
