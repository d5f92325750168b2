// What the audit hook asks about files: the paths that every guest may read, and those that
// the cell's policy gives.
#define _GNU_SOURCE
#include "cell.h"
#include "policy.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char stdlib_dir[4096]; // with a trailing '/'
static size_t stdlib_len;
// Paths beside the standard library that anyone may read.
static const char *const readable[] = {"/usr/share/zoneinfo/", "/dev/null", "/dev/urandom"};

void policy_init(const char *stdlib) {
  snprintf(stdlib_dir, sizeof stdlib_dir - 1, "%s/", stdlib);
  stdlib_len = strlen(stdlib_dir);
}

bool policy_in_stdlib(const char *path, size_t n) {
  if (memmem(path, n, "/..", 3)) return false;
  if (n + 1 == stdlib_len && !memcmp(path, stdlib_dir, n)) return true;
  return n >= stdlib_len && !memcmp(path, stdlib_dir, stdlib_len);
}

// dir/name.py and dir/__pycache__/name.tag.pyc are of dir.name, dir/__init__.py is of dir.
bool policy_module_of(const char *path, char name[PATH_MAX]) {
  static const char cache[] = "__pycache__/", packages[] = "site-packages/", init[] = ".__init__";
  size_t n = 0, length = strlen(path);
  if (length >= PATH_MAX || length < stdlib_len || !policy_in_stdlib(path, length)) return false;
  path += stdlib_len;
  if (!strncmp(path, packages, sizeof packages - 1)) path += sizeof packages - 1;
  const char *last = strrchr(path, '/'), *stem = last ? last + 1 : path;
  for (const char *p = path; *p && (p < stem || *p != '.');) {
    size_t skip = strncmp(p, cache, sizeof cache - 1) ? 0 : sizeof cache - 1;
    if (!skip) name[n++] = *p == '/' ? '.' : *p;
    p += skip ? skip : 1;
  }
  name[n] = 0;
  if (n >= sizeof init && !strcmp(name + n - (sizeof init - 1), init)) name[n - (sizeof init - 1)] = 0;
  return true;
}

static bool readable_path(const char *path, size_t n) {
  if (policy_in_stdlib(path, n)) return true;
  for (size_t i = 0; i < sizeof readable / sizeof *readable; i++) {
    size_t len = strlen(readable[i]);
    bool dir = readable[i][len - 1] == '/';
    if (n >= len && !memcmp(path, readable[i], len) && (dir || n == len) && !memmem(path, n, "/..", 3)) return true;
  }
  return false;
}

// Descriptor numbers are given out lowest first, and a cell has a table of its
// own: the next free number tells how many are in use.
static bool files_left(cell *c) {
  int fd = fcntl(c->bell, F_DUPFD_CLOEXEC, 3);
  if (fd < 0) return false;
  close(fd);
  return (uint32_t)fd < rules_files(c) + 4; // 0 to 2 and the bell
}

int files_check_room(cell *c, const rule *r, const char *event) {
  return files_left(c) ? 0 : policy_deny_event(c, r, event, "beyond the limit of open files");
}

int files_check_open(cell *c, const rule *r, const char *event, PyObject *args) {
  size_t n = 0;
  const char *path = policy_path(args, 0, &n);
  long flags = policy_int(args, 2, 0);
  if (!path && policy_int(args, 0, -1) >= 0 && !c->shared) return 0; // a descriptor of its own
  bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC));
  unsigned access = (writes ? ACCESS_WRITE : 0) | ((flags & O_ACCMODE) != O_WRONLY ? ACCESS_READ : 0);
  if (path && ((!writes && readable_path(path, n)) || (n == 9 && !memcmp(path, "/dev/null", 9)) || rules_permit(c, path, n, access)))
    return files_check_room(c, r, event);
  if (path && n && path[0] == '<' && path[n - 1] == '>') {
    // CPython looks for the text of a SyntaxError in a file of the source's name.
    if (!support_load(c, SUPPORT_ERRORS)) PyErr_SetString(c->denied, "not a file");
    return -1;
  }
  return policy_deny_event(c, r, event, path);
}

// A path beside an open directory, which was judged when it was opened. Since a guest may
// put anything in its place, the descriptor tells where it is.
static bool permits_at(const cell *c, const char *path, size_t n, long dir, unsigned access) {
  char link[64], whole[PATH_MAX];
  if (dir < 0 || (n && path[0] == '/')) return rules_permit(c, path, n, access);
  snprintf(link, sizeof link, "/proc/thread-self/fd/%ld", dir);
  ssize_t at = readlink(link, whole, sizeof whole - 1);
  if (at <= 0 || (size_t)at + n + 2 > sizeof whole) return false;
  whole[at++] = '/';
  memcpy(whole + at, path, n);
  return rules_permit(c, whole, (size_t)at + n, access);
}

int files_check_read(cell *c, const rule *r, const char *event, PyObject *args) {
  size_t n = 0;
  const char *path = policy_path(args, 0, &n);
  long fd = path ? -1 : policy_int(args, 0, -1);
  bool may = fd >= 0 ? permits_at(c, "", 0, fd, ACCESS_READ) : path && (readable_path(path, n) || rules_permit(c, path, n, ACCESS_READ));
  return may ? files_check_room(c, r, event) : policy_deny_event(c, r, event, path);
}

int files_check_change(cell *c, const rule *r, const char *event, PyObject *args, int dir) {
  size_t n = 0;
  const char *path = policy_path(args, 0, &n);
  return path && permits_at(c, path, n, policy_int(args, dir, -1), ACCESS_WRITE) ? 0 : policy_deny_event(c, r, event, path);
}

int files_check_rename(cell *c, const rule *r, const char *event, PyObject *args) {
  size_t n = 0, m = 0;
  const char *from = policy_path(args, 0, &n), *to = policy_path(args, 1, &m);
  bool may = from && to && permits_at(c, from, n, policy_int(args, 2, -1), ACCESS_WRITE) &&
             permits_at(c, to, m, policy_int(args, 3, -1), ACCESS_WRITE);
  return may ? 0 : policy_deny_event(c, r, event, from);
}

int files_check_socket(cell *c, const rule *r, const char *event, PyObject *args) {
  long family = policy_int(args, 1, -1), type = policy_int(args, 2, -1) & 0xf;
  bool internet = (family == AF_INET || family == AF_INET6) && (type == SOCK_STREAM || type == SOCK_DGRAM);
  return family == AF_UNIX || (internet && rules_network(c)) ? files_check_room(c, r, event) : policy_deny_event(c, r, event, NULL);
}

