// The patterns of kernel/policy, whose glob.go says what they mean and why this is all: the
// two are the same, and are held to the same examples.
#include "cell.h"

#include <string.h>

typedef struct {
  const char *glob, *path;
  size_t m, n; // their lengths
  size_t g, p;
  size_t star, star_at; // in the glob, and what of the path it has taken; 0: none
  size_t deep, deep_at;
} matching;

// The text may change meanwhile: each byte is read once, and only within the length.
static bool deep_here(const matching *w) {
  return w->m - w->g >= 3 && w->glob[w->g] == '*' && w->glob[w->g + 1] == '*' && w->glob[w->g + 2] == '/';
}

static bool step(matching *w) {
  if (deep_here(w)) {
    w->g += 3;
    w->star = 0;
    w->deep = w->g;
    w->deep_at = w->p;
    return true;
  }
  char at = w->glob[w->g];
  if (at == '*') {
    w->star = ++w->g;
    w->star_at = w->p;
    return true;
  }
  if (w->p == w->n) return false;
  if (at == '?' && w->path[w->p] != '/') {
    w->g++;
    for (w->p++; w->p < w->n && (w->path[w->p] & 0xc0) == 0x80;) w->p++; // the rest of a character
    return true;
  }
  if (at != w->path[w->p]) return false;
  w->g++;
  w->p++;
  return true;
}

static bool again(matching *w) {
  if (w->star && w->star_at < w->n && w->path[w->star_at] != '/') {
    w->g = w->star;
    w->p = ++w->star_at;
    return true;
  }
  const char *slash = w->deep ? memchr(w->path + w->deep_at, '/', w->n - w->deep_at) : NULL;
  if (!slash) return false;
  w->p = w->deep_at = (size_t)(slash - w->path) + 1;
  w->g = w->deep;
  w->star = 0;
  return true;
}

bool glob_match(const char *glob, size_t m, const char *path, size_t n, bool below) {
  for (; m >= 3 && !memcmp(glob + m - 3, "/**", 3); m -= 3) below = true;
  if (n == 1 && *path == '/') n = 0;
  for (matching w = {.glob = glob, .path = path, .m = m, .n = n};;) {
    bool over = w.g == m;
    if (over && (w.p == n || (below && path[w.p] == '/'))) return true;
    if ((over || !step(&w)) && !again(&w)) return false;
  }
}
