// An interpreter's cache of attribute lookups is 4096 entries of three words: a version, a name, a value. One that is not
// in use names None, so that CPython writes 96 KiB that say nothing, and are the same in every interpreter. A file of
// such entries lends each cell its pages; those that it writes to are its own.
#define _GNU_SOURCE
#include "cell.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRY (3 * sizeof(uintptr_t))
#define ENTRIES 4096
static int file = -1;
static size_t file_size;

// Writes a file of n bytes of unused entries, for good. It is its owner's to close; -1: there is none.
static int unused_entries(size_t n) {
  int fd = (int)syscall(SYS_memfd_create, "pyisolate-unused", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -1;
  uintptr_t *words = MAP_FAILED;
  if (!ftruncate(fd, (off_t)n)) words = (uintptr_t *)syscall(SYS_mmap, NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (words != MAP_FAILED) {
    for (size_t i = 0; i < n / sizeof *words; i++) words[i] = i % 3 == 1 ? (uintptr_t)Py_None : 0;
    syscall(SYS_munmap, words, n);
    if (!fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) return fd;
  }
  close(fd);
  return -1;
}

// A failure costs memory, no more: there is nothing to lend.
void lookups_prepare(void) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  // An entry begins anywhere in the first page: of three pages in a row one has it in the same place.
  file_size = (ENTRIES * ENTRY + page - 1) / page * page + 3 * page;
  file = unused_entries(file_size);
}

// Takes a cell's part of the file while its thread still has the descriptor.
void lookups_borrow(cell *c) {
  if (file < 0) return;
  void *p = (void *)syscall(SYS_mmap, NULL, file_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  c->unused = p == MAP_FAILED ? NULL : p;
}

// Unmaps what is left of the cell's part: all but bytes lo to hi, which may be another's by now.
static void give_up(cell *c, size_t lo, size_t hi) {
  if (c->unused && lo) syscall(SYS_munmap, c->unused, lo);
  if (c->unused && hi < file_size) syscall(SYS_munmap, (char *)c->unused + hi, file_size - hi);
  c->unused = NULL;
}

void lookups_forget(cell *c) { give_up(c, 0, 0); }

// Moves what is mapped at from to where to is, which says the same. false: nothing has changed.
static bool replace(char *to, const char *from, size_t n) {
  if ((void *)syscall(SYS_mremap, from, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to) return true;
  // The kernel may have taken away what was there before it found that it has no memory.
  void *again = (void *)syscall(SYS_mmap, to, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (again == to)
    memcpy(to, from, n);
  else if (again != MAP_FAILED || errno != EEXIST)
    abort(); // a hole in an interpreter
  return false;
}

// Puts pages of the file in the place of those of r that say the same. It tells whether there were any: the cache is
// in one block.
static bool lend(cell *c, page_run r) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), n = r.n / page, have = file_size / page;
  char *to = r.p, *from = c->unused;
  for (size_t i = 0; i < n; i++)
    for (size_t phase = 0; phase < 3; phase++) {
      size_t k = 0;
      while (i + k < n && phase + k < have && !memcmp(to + (i + k) * page, from + (phase + k) * page, page)) k++;
      if (!k) continue;
      if (replace(to + i * page, from + phase * page, k * page)) give_up(c, phase * page, (phase + k) * page);
      return true;
    }
  return false;
}

void lookups_lend(cell *c) {
  if (!c->unused) return;
  for (size_t i = 0; i < c->n_pages && !lend(c, c->pages[i]); i++) {}
  lookups_forget(c);
}
