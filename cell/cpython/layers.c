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
#include <sys/syscall.h>
#include <unistd.h>

// Not in every C library's headers yet; the numbers are the same on all machines.
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
enum { RULE_PATH_BENEATH = 1, RULE_NET_PORT = 2 };

#define LANDLOCK_MAGIC 0x314b4c4c // "LLK1"
#define SECCOMP_MAGIC 0x31434553  // "SEC1"

static int ruleset = -1;
static struct sock_filter *program; // holes unfilled
static uint16_t program_n, holes_n;
static struct { uint16_t at, what; } holes[16];

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

static bool prepare_seccomp(input in) {
  uint32_t magic;
  if (!take(&in, &magic, sizeof magic) || magic != SECCOMP_MAGIC || !take(&in, &program_n, sizeof program_n) ||
      !take(&in, &holes_n, sizeof holes_n) || holes_n > sizeof holes / sizeof *holes || !program_n ||
      !take(&in, holes, holes_n * sizeof *holes) || in.n != program_n * sizeof *program)
    return false;
  for (int i = 0; i < holes_n; i++)
    if (holes[i].at >= program_n || holes[i].what < 1 || holes[i].what > 2) return false;
  program = malloc(in.n);
  return program && take(&in, program, in.n);
}

int layers_prepare(const void *landlock, size_t landlock_n, const void *seccomp, size_t seccomp_n, char *err, size_t errlen) {
  errno = 0;
  if (landlock_n && !prepare_landlock((input){landlock, landlock_n})) return fail(err, errlen, "prepare Landlock rules");
  errno = 0;
  if (seccomp_n && !prepare_seccomp((input){seccomp, seccomp_n})) return fail(err, errlen, "prepare a system-call filter");
  return 0;
}

// ---- putting on ------------------------------------------------------------------------------------

const char *layers_landlock(void) {
  if (ruleset < 0) return NULL;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return "no_new_privs";
  return syscall(SYS_landlock_restrict_self, ruleset, 0) ? "landlock" : NULL;
}

// A hole that stays as it is matches no process.
const char *layers_seccomp(void) {
  if (!program) return NULL;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return "no_new_privs";
  struct sock_filter mine[program_n];
  memcpy(mine, program, sizeof mine);
  for (int i = 0; i < holes_n; i++) mine[holes[i].at].k = (uint32_t)(holes[i].what == 1 ? getpid() : syscall(SYS_gettid));
  struct sock_fprog f = {program_n, mine};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &f) ? "seccomp" : NULL;
}
