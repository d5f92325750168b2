#define _GNU_SOURCE
#include "layers.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

// Not in every C library's headers yet; the numbers are the same on all machines.
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
enum { RULE_PATH_BENEATH = 1, RULE_NET_PORT = 2 };

#define LANDLOCK_MAGIC 0x314b4c4c // "LLK1"
#define SECCOMP_MAGIC 0x31434553  // "SEC1"

static int ruleset = -1;
typedef struct {
  struct sock_filter *program; // holes unfilled
  uint16_t n, holes_n;
  struct { uint16_t at, what; } holes[16];
} filter;
static filter own, notify;

// ---- decoding --------------------------------------------------------------------------------------

typedef struct { const char *p; size_t n; } input;

static bool take(input *in, void *into, size_t n) {
  if (in->n < n) return false;
  memcpy(into, in->p, n);
  in->p += n;
  in->n -= n;
  return true;
}

static int fail(char *err, size_t errlen, const char *what) {
  snprintf(err, errlen, "%s: %s", what, errno ? strerror(errno) : "malformed");
  return -1;
}

static bool add_path(input *in) {
  struct __attribute__((packed)) { uint64_t access; int32_t fd; } rule;
  uint32_t size;
  if (!take(in, &rule.access, sizeof rule.access) || !take(in, &size, sizeof size) || size > in->n || !memchr(in->p, 0, size))
    return false;
  rule.fd = open(in->p, O_PATH | O_CLOEXEC);
  if (rule.fd < 0) return false;
  long rc = syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0);
  close(rule.fd);
  in->p += size;
  in->n -= size;
  return rc == 0;
}

static bool add_port(input *in) {
  struct { uint64_t access, port; } rule;
  return take(in, &rule, sizeof rule) && !syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0);
}

static bool prepare_landlock(input in) {
  uint32_t magic;
  uint16_t paths, ports;
  struct { uint64_t fs, net, scoped; } attr;
  if (!take(&in, &magic, sizeof magic) || magic != LANDLOCK_MAGIC || !take(&in, &paths, sizeof paths) ||
      !take(&in, &ports, sizeof ports) || !take(&in, &attr, sizeof attr))
    return false;
  ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
  if (ruleset < 0) return false;
  while (ports--)
    if (!add_port(&in)) return false;
  while (paths--)
    if (!add_path(&in)) return false;
  return in.n == 0;
}

static bool prepare_filter(filter *f, input in) {
  uint32_t magic;
  if (!take(&in, &magic, sizeof magic) || magic != SECCOMP_MAGIC || !take(&in, &f->n, sizeof f->n) ||
      !take(&in, &f->holes_n, sizeof f->holes_n) || f->holes_n > sizeof f->holes / sizeof *f->holes || !f->n ||
      !take(&in, f->holes, f->holes_n * sizeof *f->holes) || in.n != f->n * sizeof *f->program)
    return false;
  for (int i = 0; i < f->holes_n; i++)
    if (f->holes[i].at >= f->n || f->holes[i].what < 1 || f->holes[i].what > 2) return false;
  f->program = malloc(in.n);
  return f->program && take(&in, f->program, in.n);
}

int layers_prepare(const void *landlock, size_t landlock_n, const void *seccomp, size_t seccomp_n, char *err, size_t errlen) {
  errno = 0;
  if (landlock_n && !prepare_landlock((input){landlock, landlock_n})) return fail(err, errlen, "prepare Landlock rules");
  errno = 0;
  if (seccomp_n && !prepare_filter(&own, (input){seccomp, seccomp_n})) return fail(err, errlen, "prepare a system-call filter");
  return 0;
}

int layers_prepare_notify(const void *program, size_t n, char *err, size_t errlen) {
  errno = 0;
  if (n && !prepare_filter(&notify, (input){program, n})) return fail(err, errlen, "prepare a supervisor's filter");
  return 0;
}

// ---- putting on ------------------------------------------------------------------------------------

const char *layers_landlock(void) {
  if (ruleset < 0) return NULL;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return "no_new_privs";
  return syscall(SYS_landlock_restrict_self, ruleset, 0) ? "landlock" : NULL;
}

// A hole that stays as it is matches no process.
static int put_on(const filter *f, unsigned long flags) {
  struct sock_filter mine[f->n];
  memcpy(mine, f->program, sizeof mine);
  for (int i = 0; i < f->holes_n; i++)
    mine[f->holes[i].at].k = (uint32_t)(f->holes[i].what == 1 ? getpid() : syscall(SYS_gettid));
  struct sock_fprog p = {f->n, mine};
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p);
}

const char *layers_seccomp(void) {
  if (!own.program) return NULL;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return "no_new_privs";
  return put_on(&own, 0) ? "seccomp" : NULL;
}

static bool send_listener(int sock, int listener, uint64_t id) {
  union { struct cmsghdr head; char space[CMSG_SPACE(sizeof listener)]; } control = {{0}};
  struct iovec payload = {&id, sizeof id};
  struct msghdr m = {.msg_iov = &payload, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof listener);
  memcpy(CMSG_DATA(c), &listener, sizeof listener);
  ssize_t sent;
  do sent = sendmsg(sock, &m, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent == (ssize_t)sizeof id;
}

const char *layers_notify(int sock, uint64_t id) {
  if (!notify.program) return NULL;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return "no_new_privs";
  const unsigned long listen = SECCOMP_FILTER_FLAG_NEW_LISTENER;
  int listener = put_on(&notify, listen | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
  if (listener < 0 && errno == EINVAL) listener = put_on(&notify, listen); // before Linux 5.19
  if (listener < 0) return "a supervisor's filter";
  bool sent = send_listener(sock, listener, id);
  close(listener); // or the cell would answer itself
  close(sock);
  return sent ? NULL : "its supervisor";
}
