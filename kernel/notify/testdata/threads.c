// Two threads of one process that are watched, as cells of a host are: layers_notify first,
// then a descriptor table of their own, then their own filter. Reads lines "thread path"
// and answers with the errno of opening the path on that thread.
//   threads notify-program seccomp-program socket0 socket1
#define _GNU_SOURCE
#include "layers.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
  int sock, ask[2], told[2];
  uint64_t id;
} worker;

static void die(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static size_t slurp(const char *path, char *into, size_t n) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t got = fd < 0 ? -1 : read(fd, into, n);
  if (got <= 0) die(path);
  close(fd);
  return (size_t)got;
}

static void *work(void *arg) {
  worker *w = arg;
  const char *failed = layers_notify(w->sock, w->id);
  if (failed) die(failed);
  // As a cell does: a table that is copied while another thread starts has its listener, too.
  if (unshare(CLONE_FILES)) die("unshare");
  for (int fd = 3; fd < 64; fd++)
    if (fd != w->ask[0] && fd != w->told[1]) close(fd);
  if ((failed = layers_seccomp())) die(failed);
  char path[4096];
  for (ssize_t n; (n = read(w->ask[0], path, sizeof path)) > 0;) {
    int fd = open(path, O_RDONLY | O_CLOEXEC), error = fd < 0 ? errno : 0;
    if (fd >= 0) close(fd);
    if (write(w->told[1], &error, sizeof error) != sizeof error) die("write");
  }
  return NULL;
}

int main(int argc, char **argv) {
  static char notify[1 << 16], own[1 << 16], err[256], path[4096];
  worker workers[2];
  if (argc != 5) return 2;
  size_t notify_n = slurp(argv[1], notify, sizeof notify), own_n = slurp(argv[2], own, sizeof own);
  if (layers_prepare(NULL, 0, own, own_n, err, sizeof err) || layers_prepare_notify(notify, notify_n, err, sizeof err)) die(err);
  for (int i = 0; i < 2; i++) {
    workers[i] = (worker){.sock = atoi(argv[3 + i]), .id = 100 + (uint64_t)i};
    if (pipe2(workers[i].ask, O_CLOEXEC) || pipe2(workers[i].told, O_CLOEXEC)) die("pipe");
  }
  for (int i = 0; i < 2; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, &workers[i])) die("start a thread");
  }
  for (int i, error; scanf("%d %4095s", &i, path) == 2;) {
    if (i < 0 || i > 1 || write(workers[i].ask[1], path, strlen(path) + 1) < 0 ||
        read(workers[i].told[0], &error, sizeof error) != sizeof error)
      die("ask a thread");
    printf("%d\n", error);
    fflush(stdout);
  }
  // What the threads closed was in the process's table.
  return fcntl(workers[0].sock, F_GETFD) < 0 && fcntl(workers[1].sock, F_GETFD) < 0 ? 0 : 3;
}
