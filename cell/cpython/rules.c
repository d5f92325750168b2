// The cell's policy as its gate knows it. The kernel judges the same rules, on paths that it
// has resolved; this judges the words the guest uses, so that a refusal has a reason, and so
// that a kernel that lacks a layer is not all there is.
#define _GNU_SOURCE
#include "cell.h"

#include <limits.h>
#include <sched.h>
#include <string.h>

// How often to look again while the host replaces the rules: it takes microseconds.
#define RULES_TRIES 10000

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

// The access of the longest rule that covers the path. The text may change meanwhile: every
// length is checked, and who calls looks whether it has.
static unsigned longest(const char *text, size_t size, const char *path, size_t n) {
  unsigned access = 0;
  size_t best = 0;
  for (size_t at = 1; at + 3 <= size;) {
    unsigned given = (unsigned char)text[at];
    uint16_t len;
    memcpy(&len, text + at + 1, sizeof len);
    at += 3;
    if (!len || len > size - at) return 0;
    if (len > best && covers(text + at, len, path, n)) {
      best = len;
      access = given;
    }
    at += len;
  }
  return access;
}

bool rules_permit(const cell *c, const char *path, size_t n, unsigned access) {
  char clean[PATH_MAX];
  size_t length = clean_path(path, n, clean);
  for (int i = 0; length && c->hdr && i < RULES_TRIES; i++) {
    uint32_t seq = atomic_load(&c->hdr->rules_seq), size = atomic_load(&c->hdr->rules_len);
    if (seq % 2 == 0 && size <= RING_RULES) {
      unsigned has = longest(c->rules, size, clean, length);
      atomic_thread_fence(memory_order_acquire);
      if (atomic_load(&c->hdr->rules_seq) == seq) return (has & access) == access;
    }
    sched_yield();
  }
  return false;
}

bool rules_network(const cell *c) {
  for (int i = 0; c->hdr && i < RULES_TRIES; i++) {
    uint32_t seq = atomic_load(&c->hdr->rules_seq);
    bool given = atomic_load(&c->hdr->rules_len) && (c->rules[0] & RULES_NETWORK);
    atomic_thread_fence(memory_order_acquire);
    if (seq % 2 == 0 && atomic_load(&c->hdr->rules_seq) == seq) return given;
    sched_yield();
  }
  return false;
}
