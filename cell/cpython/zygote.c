// The process executor. A program that links this package and is started under
// the name "pyisolate-zygote" never reaches Go: the constructor below keeps it.
// It starts CPython once, single-threaded, and forks one child per cell onto a
// region whose descriptors come over the control socket. Under the name
// "pyisolate-cell" it becomes the one cell itself: dearer, but nothing is forked.
#define _GNU_SOURCE
#include "cell.h"
#include "control.h"
#include "identity.h"
#include "layers.h"
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_CELLS 4096

static struct { uint32_t id; pid_t pid; } children[MAX_CELLS];
static int signals = -1; // signalfd for SIGCHLD
static int living[2];    // a pipe that nobody writes to: it hangs up when the zygote dies

// Each tries the wanted namespaces in falling order: where the kernel refuses
// some, the host is told.
#define ATTEMPTS 3
static uint64_t attempt(uint64_t wanted, int i) {
  return i == 0 ? wanted : i == 1 ? wanted & ~(uint64_t)CLONE_NEWUSER : 0;
}

// ---- the zygote ------------------------------------------------------------------------------------

// A raw clone: glibc's fork knows no namespaces. The process is single-threaded,
// so no lock can be held by somebody who is gone.
static pid_t clone_child(uint64_t flags, int *pidfd) {
  struct clone_args args = {.flags = flags | CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)pidfd, .exit_signal = SIGCHLD};
  return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

// The kernel kills a child with its zygote from here on; the pipe tells of one
// that is dead already. So when a zygote is gone, nobody else uses a region.
static void bind_to_zygote(void) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  close(living[1]);
  struct pollfd zygote = {living[0], POLLIN, 0};
  if (poll(&zygote, 1, 0) != 0) _exit(74);
}

static int free_slot(void) {
  for (int i = 0; i < MAX_CELLS; i++)
    if (!children[i].pid) return i;
  return -1;
}

// The zygote itself is the cell's user while it forks: a user namespace takes its
// creator's, and the child cannot change it there.
static pid_t fork_cell(const request *q, int region, int bell, report *r, int *pidfd) {
  pid_t pid = -1;
  if (q->uid && (r->error = identity_take(q->uid))) return pid;
  for (int i = 0; pid < 0 && i < ATTEMPTS; i++) {
    r->clone_flags = attempt(q->clone_flags, i);
    PyOS_BeforeFork();
    pid = clone_child(r->clone_flags, pidfd);
    if (pid == 0) {
      bind_to_zygote();
      process_cell(q, r->clone_flags, region, bell, true);
    }
    r->error = pid < 0 ? errno : 0;
    PyOS_AfterFork_Parent();
  }
  if (q->uid && identity_take(0)) _exit(1);
  return pid;
}

static void serve_fork(const request *q, int region, int bell) {
  report r = {.op = 1, .id = q->id, .error = ENFILE};
  int slot = free_slot(), pidfd = -1;
  pid_t pid = slot < 0 ? -1 : fork_cell(q, region, bell, &r, &pidfd);
  if (pid > 0) {
    children[slot].id = q->id;
    children[slot].pid = pid;
    r.value = pid;
  }
  control_answer(&r, pid > 0 ? pidfd : -1);
  if (pid > 0) close(pidfd);
}

// false when the host has hung up.
static bool serve_control(void) {
  request q;
  int region, bell, got = control_receive(&q, &region, &bell);
  if (got <= 0) return got == 0;
  serve_fork(&q, region, bell);
  close(region);
  close(bell);
  return true;
}

static void reap(void) {
  struct signalfd_siginfo info;
  if (read(signals, &info, sizeof info) < 0) return;
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
    for (int i = 0; i < MAX_CELLS; i++)
      if (children[i].pid == pid) {
        children[i].pid = 0;
        control_answer(&(report){.op = 2, .id = children[i].id, .value = status}, -1);
        break;
      }
}

static void serve(void) {
  sigset_t chld;
  sigemptyset(&chld);
  sigaddset(&chld, SIGCHLD);
  sigprocmask(SIG_BLOCK, &chld, NULL);
  signals = signalfd(-1, &chld, SFD_CLOEXEC);
  if (signals < 0 || pipe2(living, O_CLOEXEC)) _exit(1);
  struct pollfd fds[] = {{CONTROL, POLLIN, 0}, {signals, POLLIN, 0}};
  for (;;) {
    if (poll(fds, 2, -1) < 0 && errno != EINTR) _exit(1);
    if (fds[1].revents) reap();
    if (fds[0].revents && !serve_control()) _exit(0); // children die with us
  }
}

// ---- a fresh cell ----------------------------------------------------------------------------------

// A process cannot enter a new PID namespace itself: the host has begun it in one.
static void become_cell(void) {
  request q;
  int region, bell, got;
  while ((got = control_receive(&q, &region, &bell)) == 0) {}
  if (got < 0) _exit(0);
  report r = {.op = 1, .id = q.id, .value = getpid()};
  if (q.uid) r.error = identity_take(q.uid);
  for (int i = 0; !r.error && i < ATTEMPTS; i++) {
    r.clone_flags = attempt(q.clone_flags & ~(q.begun | CLONE_NEWPID), i);
    if (!unshare((int)r.clone_flags)) break;
  }
  r.clone_flags |= q.begun;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  control_answer(&r, -1);
  if (r.error) _exit(75);
  process_cell(&q, r.clone_flags, region, bell, false);
}

__attribute__((constructor)) static void executor_main(int argc, char **argv, char **envp) {
  (void)envp;
  if (argc < 1) return;
  bool zygote = !strcmp(argv[0], "pyisolate-zygote");
  if (!zygote && strcmp(argv[0], "pyisolate-cell")) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (zygote) prctl(PR_SET_NAME, "pyisolate-zygo");
  prctl(PR_SET_DUMPABLE, 0);
  config k = {0};
  char no_user[512];
  control_config(&k);
  identity_prepare(&k, no_user, sizeof no_user);
  char err[512];
  if (layers_prepare(k.landlock.p, k.landlock.n, k.seccomp.p, k.seccomp.n, err, sizeof err) ||
      layers_prepare_notify(k.notify.p, k.notify.n, err, sizeof err))
    control_die(err);
  process_start(&k);
  control_ready(no_user);
  if (zygote) serve();
  become_cell();
}
