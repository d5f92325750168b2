#define _GNU_SOURCE
#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int identity_take(uint32_t id) {
  if (syscall(SYS_setresgid, id, id, id) || syscall(SYS_setresuid, id, id, id)) return errno;
  prctl(PR_SET_PDEATHSIG, SIGKILL); // a change of user clears it
  return 0;
}

// ---- a readable Python ---------------------------------------------------------------------------

// access() asks for the real user, and a real user other than root has no
// capabilities in it.
static bool reads(const config *k) {
  char inside[4][4096];
  snprintf(inside[0], sizeof *inside, "%s", k->lib);
  snprintf(inside[1], sizeof *inside, "%s", k->stdlib);
  snprintf(inside[2], sizeof *inside, "%s/os.py", k->stdlib);
  snprintf(inside[3], sizeof *inside, "%s/lib-dynload", k->stdlib);
  bool yes = !syscall(SYS_setresgid, k->uid, -1, -1) && !syscall(SYS_setresuid, k->uid, -1, -1);
  for (int i = 0; yes && i < 4; i++) yes = !access(inside[i], R_OK) || errno == ENOENT;
  int saved = errno;
  syscall(SYS_setresuid, 0, -1, -1);
  syscall(SYS_setresgid, 0, -1, -1);
  errno = saved;
  return yes;
}

// The length of the first directory above path that others may not pass; 0: none.
static size_t closed_above(const char *path) {
  char above[4096];
  struct stat st;
  for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    snprintf(above, sizeof above, "%.*s", (int)(slash - path), path);
    if (!stat(above, &st) && !(st.st_mode & S_IXOTH)) return (size_t)(slash - path);
  }
  return 0;
}

static void make_directories(char *path, size_t from) {
  for (char *slash = strchr(path + from + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    mkdir(path, 0755);
    *slash = '/';
  }
  mkdir(path, 0755);
}

// Where others may not pass a directory on the way to path, an empty one covers it
// in this mount namespace, with nothing in it but the way to path. fd is path,
// opened before anything was covered.
static int uncover(const char *path, int fd) {
  char place[4096], source[64];
  struct stat st;
  size_t closed = closed_above(path);
  if (!closed && !stat(path, &st)) return 0;
  snprintf(place, sizeof place, "%.*s", (int)closed, path);
  if (closed && mount("pyisolate", place, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755,size=64k")) return -1;
  snprintf(place, sizeof place, "%s", path);
  make_directories(place, closed);
  snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
  if (mount(source, path, NULL, MS_BIND, NULL)) return -1;
  return mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL);
}

static bool within(const char *path, const char *dir) {
  size_t n = strlen(dir);
  return !strncmp(path, dir, n) && (path[n] == '/' || !path[n]);
}

// The unpacked Python lies in root's cache directory, which nobody else may enter.
// Paths stay as they are, so tracebacks, the audit hook and what Python computes
// from them need not know. Copying 120 MB, or an inherited directory descriptor in
// the guest's reach with other paths through it, were the other ways.
static int uncover_python(const config *k) {
  char lib[4096];
  snprintf(lib, sizeof lib, "%s", k->lib);
  char *slash = strrchr(lib, '/');
  if (slash) *slash = 0;
  const char *dirs[] = {k->home, k->stdlib, lib};
  int fds[3], rc = 0;
  if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL)) return -1;
  for (int i = 0; i < 3; i++) fds[i] = open(dirs[i], O_PATH | O_CLOEXEC);
  mode_t mask = umask(022);
  for (int i = 0; i < 3 && !rc; i++)
    if (!i || !within(dirs[i], k->home)) rc = uncover(dirs[i], fds[i]);
  umask(mask);
  int saved = errno;
  for (int i = 0; i < 3; i++)
    if (fds[i] >= 0) close(fds[i]);
  errno = saved;
  return rc;
}

// ---- preparation ---------------------------------------------------------------------------------

// Each returns 0, or an errno that step is the reason for.
static int make_readable(const config *k, const char **step) {
  *step = "let everybody read";
  if (reads(k)) return 0;
  int failed = uncover_python(k) ? errno : 0;
  if (!failed && reads(k)) return 0;
  return failed ? failed : EACCES;
}

static int take_on(const config *k, const char **step) {
  *step = "give up groups of";
  if (syscall(SYS_setgroups, 0, NULL)) return errno;
  int e = make_readable(k, step);
  if (e) return e;
  *step = "change users, for";
  // From here on a change of user changes no capabilities.
  if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)) return errno;
  e = identity_take(k->uid);
  return e ? e : identity_take(0);
}

void identity_prepare(const config *k, char *why, size_t n) {
  const char *step;
  *why = 0;
  int e = k->uid ? take_on(k, &step) : 0;
  if (e) snprintf(why, n, "cells cannot be user %u: %s %s: %s", k->uid, step, k->home, strerror(e));
}
