// The cell's policy as its gate knows it. The kernel judges the same rules, on paths that it
// has resolved; this judges the words the guest uses, so that a refusal has a reason, and so
// that a kernel that lacks a layer is not all there is.
#define _GNU_SOURCE
#include "cell.h"

#include <limits.h>
#include <string.h>

// How often to read again because the host has replaced the rules meanwhile.
#define RULES_TRIES 1000

// Writes the absolute path without empty and "." parts and returns its length. 0: there is a
// "..", or it is relative or too long, and only the kernel could say where it leads.
static size_t clean_path(const char *path, size_t n, char out[PATH_MAX]) {
  size_t at = 0;
  if (!n || path[0] != '/' || n >= PATH_MAX || memchr(path, 0, n)) return 0;
  for (size_t i = 0; i < n;) {
    while (i < n && path[i] == '/') i++;
    size_t from = i;
    while (i < n && path[i] != '/') i++;
    size_t len = i - from;
    if (!len || (len == 1 && path[from] == '.')) continue;
    if (len == 2 && path[from] == '.' && path[from + 1] == '.') return 0;
    out[at++] = '/';
    memcpy(out + at, path + from, len);
    at += len;
  }
  if (!at) out[at++] = '/';
  return at;
}

static bool covers(const char *rule, size_t len, const char *path, size_t n) {
  if (len == 1) return true; // the root
  return n >= len && !memcmp(rule, path, len) && (n == len || path[len] == '/');
}

// What is read changes when the host replaces the rules for the second time. So a reader
// checks every length, and in the end that the word is still the same.
// A cell that has ended has no header any more, and its blocks outlive it: it is read once.
static const ring_rules *now(const cell *c, ring_hdr *h, uint64_t *word) {
  *word = h ? atomic_load(&h->rules) : 0;
  return *word ? (const ring_rules *)c->rules[*word & 1] : NULL;
}

static bool still(ring_hdr *h, uint64_t word) {
  atomic_thread_fence(memory_order_acquire);
  return atomic_load_explicit(&h->rules, memory_order_relaxed) == word;
}

#define ONCE(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

static size_t size_of(const ring_rules *r) {
  size_t size = ONCE(r->size);
  return size <= RING_RULES ? size : 0;
}

// ---- numbers -----------------------------------------------------------------------------------

// n is the field of the valid rules, or what is said where there are none.
#define NUMBER(field, none)                                         \
  const ring_rules *r;                                              \
  ring_hdr *h = c->hdr;                                             \
  uint64_t word, n = none;                                          \
  for (int i = 0; i < RULES_TRIES && (r = now(c, h, &word)); i++) { \
    n = ONCE(r->field);                                             \
    if (still(h, word)) break;                                      \
  }

int64_t rules_memory(const cell *c) {
  NUMBER(memory, (uint64_t)1 << 62);
  return (int64_t)n;
}

uint32_t rules_message_max(const cell *c) {
  NUMBER(message_max, 0);
  return (uint32_t)n;
}

uint32_t rules_children(const cell *c) {
  NUMBER(children, 0);
  return (uint32_t)n;
}

uint32_t rules_files(const cell *c) {
  NUMBER(files, 0);
  return (uint32_t)n;
}

bool rules_network(const cell *c) {
  NUMBER(flags, 0);
  return n & RULES_NETWORK;
}

// ---- files -------------------------------------------------------------------------------------

// What the rules from at on give, as kernel/policy.Judge has it.
static unsigned access_to(const char *text, size_t at, size_t size, const char *path, size_t n) {
  unsigned own = 0, globs = 0;
  size_t best = 0;
  while (size - at >= 6) {
    unsigned given = (unsigned char)text[at];
    uint16_t len[2]; // of the path and of the glob
    memcpy(len, text + at + 2, sizeof len);
    const char *dir = text + at + 6, *glob = dir + len[0];
    if (!len[0] || (size_t)len[0] + len[1] > size - at - 6) return 0;
    at += 6 + (size_t)len[0] + len[1];
    if ((!len[1] && len[0] <= best) || !covers(dir, len[0], path, n)) continue;
    if (!len[1]) {
      best = len[0];
      own = given;
    } else if (glob_match(glob, len[1], path, n, !given)) {
      if (!given) return 0;
      globs |= given;
    }
  }
  return best && !own ? 0 : own | globs;
}

bool rules_permit(const cell *c, const char *path, size_t n, unsigned access) {
  char clean[PATH_MAX];
  size_t length = clean_path(path, n, clean);
  const ring_rules *r;
  ring_hdr *h = c->hdr;
  uint64_t word;
  for (int i = 0; length && i < RULES_TRIES && (r = now(c, h, &word)); i++) {
    size_t size = size_of(r), at = sizeof *r + (size_t)ONCE(r->imports);
    unsigned has = at <= size ? access_to((const char *)r, at, size, clean, length) : 0;
    if (still(h, word)) return (has & access) == access;
  }
  return false;
}

// ---- imports -----------------------------------------------------------------------------------

static bool listed(const char *names, size_t size, const char *name, size_t n) {
  for (const char *g = names, *end = names + size, *over; g < end; g = over + 1) {
    if (!(over = memchr(g, 0, (size_t)(end - g)))) return false;
    size_t m = (size_t)(over - g);
    if (memcmp(g, name, n < m ? n : m)) continue;
    if (n == m || (n > m && name[m] == '.') || (n < m && g[n] == '.')) return true;
  }
  return false;
}

bool rules_import(const cell *c, const char *name) {
  const ring_rules *r;
  ring_hdr *h = c->hdr;
  uint64_t word;
  for (int i = 0; i < RULES_TRIES && (r = now(c, h, &word)); i++) {
    size_t size = size_of(r), names = ONCE(r->imports);
    bool has = ONCE(r->flags) & RULES_ALL_IMPORTS;
    if (!has && sizeof *r + names <= size) has = listed((const char *)(r + 1), names, name, strlen(name));
    if (still(h, word)) return has;
  }
  return false;
}
