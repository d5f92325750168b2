#define _GNU_SOURCE
#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void say(const char *format, const char *a, const char *b) {
  char text[1024];
  int n = snprintf(text, sizeof text, format, 0, a, 0, b);
  send(CONTROL, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1, MSG_NOSIGNAL);
}

void control_ready(const char *no_user) {
  char pid[16];
  snprintf(pid, sizeof pid, "%d", getpid());
  say("ready%c%s%c%s", pid, no_user);
}

void control_die(const char *why) {
  say("error%c%s%c%s", why, "");
  _exit(1);
}

static int digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

// In place; an odd character ends it.
static layer unhex(char *text) {
  layer l = {text, 0};
  for (; digit(text[0]) >= 0 && digit(text[1]) >= 0; text += 2) l.p[l.n++] = (char)(digit(text[0]) << 4 | digit(text[1]));
  return l;
}

static void read_setting(config *k, const char *key, char *value) {
  if (!strncmp(key, "lib=", 4)) k->lib = value;
  else if (!strncmp(key, "home=", 5)) k->home = value;
  else if (!strncmp(key, "stdlib=", 7)) k->stdlib = value;
  else if (!strncmp(key, "landlock=", 9)) k->landlock.n = strtoul(value, NULL, 10);
  else if (!strncmp(key, "seccomp=", 8)) k->seccomp = unhex(value);
  else if (!strncmp(key, "writes=", 7)) k->writes = *value == '1';
  else if (!strncmp(key, "notify=", 7)) k->notify = unhex(value);
  else if (!strncmp(key, "uid=", 4)) k->uid = (uint32_t)strtoul(value, NULL, 10);
  else if (!strncmp(key, "preload=", 8))
    for (char *rest = NULL, *m = strtok_r(value, ",", &rest); m && k->preloads < 64; m = strtok_r(NULL, ",", &rest))
      k->preload[k->preloads++] = m;
}

// The whole of it: a part of what confines must not do.
static layer read_layer(int fd, size_t n) {
  layer l = {malloc(n ? n : 1), 0};
  while (l.p && l.n < n) {
    ssize_t got = pread(fd, l.p + l.n, n - l.n, (off_t)l.n);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    l.n += (size_t)got;
  }
  if (fd >= 0) close(fd);
  if (l.n != n) control_die("the rules of Landlock did not come whole");
  return l;
}

// The packet's length, not what was read; fd is -1 where none came.
static ssize_t receive_config(char *text, size_t most, int *fd) {
  struct iovec iov = {text, most};
  union { struct cmsghdr head; char space[CMSG_SPACE(sizeof(int))]; } c;
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
  ssize_t n = recvmsg(CONTROL, &m, MSG_TRUNC | MSG_CMSG_CLOEXEC);
  *fd = -1;
  if (n > 0 && m.msg_controllen >= CMSG_LEN(sizeof(int)) && c.head.cmsg_type == SCM_RIGHTS) memcpy(fd, CMSG_DATA(&c.head), sizeof *fd);
  return n;
}

void control_config(config *k) {
  static char text[65536];
  int fd;
  ssize_t n = receive_config(text, sizeof text - 1, &fd);
  if (n <= 0) _exit(1);
  // The last settings are those that confine: a part of them must not do.
  if (n > (ssize_t)sizeof text - 1) control_die("the configuration is larger than 64 KiB");
  for (char *p = text; p < text + n;) {
    size_t step = strlen(p) + 1; // before the value is cut up
    char *value = strchr(p, '=');
    if (value) read_setting(k, p, value + 1);
    p += step;
  }
  k->landlock = read_layer(fd, k->landlock.n);
  if (!k->lib || !k->home || !k->stdlib) control_die("the configuration lacks lib, home or stdlib");
}

int control_receive(request *q, int *region, int *bell) {
  struct iovec iov = {q, sizeof *q};
  union { struct cmsghdr head; char space[CMSG_SPACE(2 * sizeof(int))]; } c;
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
  ssize_t n = recvmsg(CONTROL, &m, MSG_CMSG_CLOEXEC);
  if (n < 0 && errno == EINTR) return 0;
  if (n <= 0) return -1;
  if (n != sizeof *q || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || q->op != 1 || m.msg_controllen < CMSG_LEN(2 * sizeof(int))) return 0;
  int fds[2];
  memcpy(fds, CMSG_DATA(&c.head), sizeof fds);
  *region = fds[0];
  *bell = fds[1];
  return 1;
}

void control_answer(const report *r, int fd) {
  struct iovec iov = {(void *)r, sizeof *r};
  union { struct cmsghdr head; char space[CMSG_SPACE(sizeof(int))]; } c = {0};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
  if (fd >= 0) {
    m.msg_control = &c;
    m.msg_controllen = sizeof c;
    c.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&c.head), &fd, sizeof fd);
  }
  if (sendmsg(CONTROL, &m, MSG_NOSIGNAL) < 0) _exit(0);
}
