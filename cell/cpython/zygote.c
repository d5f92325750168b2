// The process executor. A program that links this package and is started under
// the name "pyisolate-zygote" never reaches Go: the constructor below keeps it.
// It starts CPython once, single-threaded, and forks one child per cell onto a
// region whose descriptors come over the control socket (descriptor 3).
//
// Control protocol, SOCK_SEQPACKET, one message a packet, native byte order:
//   in:  NUL-separated key=value texts: lib, home, stdlib, preload (a,b,c)
//   out: "ready\0" pid, or "error\0" text
//   in:  fork_request with SCM_RIGHTS {region, bell}
//   out: fork_reply with SCM_RIGHTS {pidfd}; later exit_report, once per child
#define _GNU_SOURCE
#include "cell.h"
#include "confine.h"
#include "crash.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONTROL 3
#define MAX_CELLS 4096

typedef struct {
  uint32_t op, id; // op 1
  uint64_t clone_flags;
  uint64_t limit_as, limit_nofile, limit_nproc, limit_cpu; // 0: as it is
  uint32_t uid, gid;                                       // 0: as it is
} fork_request;

typedef struct {
  uint32_t op, id; // op 1: forked; 2: exited
  int32_t value;   // pid, or the wait status
  int32_t error;   // errno of a failed fork
  uint64_t clone_flags; // granted
} report;

static struct { uint32_t id; pid_t pid; } children[MAX_CELLS];
static int signals = -1; // signalfd for SIGCHLD
static cell *proto;      // becomes the child's cell

static void say(const char *word, const char *detail) {
  char b[1024];
  int n = snprintf(b, sizeof b, "%s%c%s", word, 0, detail);
  send(CONTROL, b, n < (int)sizeof b ? (size_t)n : sizeof b - 1, MSG_NOSIGNAL);
}

static void die(const char *why) {
  say("error", why);
  _exit(1);
}

// ---- start --------------------------------------------------------------------------------------

typedef struct { const char *lib, *home, *stdlib, *preload[64]; int preloads; } config;

static char config_text[65536];

static void read_setting(config *k, const char *key, char *value) {
  if (!strncmp(key, "lib=", 4)) k->lib = value;
  else if (!strncmp(key, "home=", 5)) k->home = value;
  else if (!strncmp(key, "stdlib=", 7)) k->stdlib = value;
  else if (!strncmp(key, "preload=", 8))
    for (char *rest = NULL, *m = strtok_r(value, ",", &rest); m && k->preloads < 64; m = strtok_r(NULL, ",", &rest))
      k->preload[k->preloads++] = m;
}

static void read_config(config *k) {
  ssize_t n = recv(CONTROL, config_text, sizeof config_text - 1, 0);
  if (n <= 0) _exit(1);
  for (char *p = config_text; p < config_text + n;) {
    size_t step = strlen(p) + 1; // before the value is cut up
    char *value = strchr(p, '=');
    if (value) read_setting(k, p, value + 1);
    p += step;
  }
  if (!k->lib || !k->home || !k->stdlib) die("the configuration lacks lib, home or stdlib");
}

static void freeze(void) {
  PyGC_Collect();
  PyObject *gc = PyImport_ImportModule("gc"), *f = gc ? PyObject_GetAttrString(gc, "freeze") : NULL;
  PyObject *done = f ? PyObject_CallNoArgs(f) : NULL;
  if (done) Py_DecRef(done);
  if (f) Py_DecRef(f);
  if (gc) Py_DecRef(gc);
  PyErr_Clear();
}

static void start_python(const config *k) {
  char err[512] = "";
  if (py_load(k->lib, err, sizeof err) || runtime_init(k->home, k->stdlib, err, sizeof err)) die(err);
  if (!(proto = calloc(1, sizeof *proto))) die("out of memory");
  proto->bell = -1;
  proto->interp = PyInterpreterState_Get();
  proto->ts = PyThreadState_GetUnchecked();
  cell_register(proto);
  cell_bind(proto);
  loop_stack_bounds(proto);
  if (gate_install(proto) || guest_install(proto)) die("cannot set up the interpreter");
  for (int i = 0; i < k->preloads; i++) {
    PyObject *m = PyImport_ImportModule(k->preload[i]);
    if (m) Py_DecRef(m);
    else PyErr_Clear(); // a cut-down standard library
  }
  freeze();
}

// ---- the child ------------------------------------------------------------------------------------

static void limit(int resource, uint64_t value) {
  if (value) setrlimit(resource, &(struct rlimit){value, value});
}

static void confine(const fork_request *q) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  limit(RLIMIT_AS, q->limit_as);
  limit(RLIMIT_NOFILE, q->limit_nofile);
  limit(RLIMIT_NPROC, q->limit_nproc);
  limit(RLIMIT_CPU, q->limit_cpu);
  setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
  setrlimit(RLIMIT_FSIZE, &(struct rlimit){0, 0});
  if (q->gid) syscall(SYS_setgroups, 0, NULL), syscall(SYS_setresgid, q->gid, q->gid, q->gid);
  if (q->uid) syscall(SYS_setresuid, q->uid, q->uid, q->uid);
  drop_capabilities();
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_DUMPABLE, 0);
}

static void on_wake(int signo) { (void)signo; }

static int child_tid, child_pid;

// The host cannot reach into this process: it bumps ctl_seq, and this thread
// turns that into an injection.
static void *watch(void *arg) {
  cell *c = arg;
  for (uint32_t seen = 0;;) {
    uint32_t seq = atomic_load(&c->hdr->ctl_seq);
    const struct timespec again = {.tv_nsec = 20000000};
    bool pending = wire_interrupted(c); // may sleep where only the next signal wakes it
    if (seq == seen && syscall(SYS_futex, &c->hdr->ctl_seq, FUTEX_WAIT, seen, pending ? &again : NULL, NULL, 0) == 0) continue;
    if (seq == seen && !pending) continue;
    seen = seq;
    loop_inject(c);
    wire_wake(c);
    syscall(SYS_tgkill, child_pid, child_tid, SIGRTMIN + 9);
  }
  return NULL;
}

static void start_watch(cell *c) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  pthread_attr_t attr;
  pthread_t thread;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, 64 << 10);
  if (pthread_create(&thread, &attr, watch, c)) _exit(71);
  pthread_attr_destroy(&attr);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void own_descriptors(int *region, int *bell) {
  // 0 to 2 are the null device; move the two to 3 and 4 and drop the rest.
  int r = fcntl(*region, F_DUPFD, 64), b = fcntl(*bell, F_DUPFD, 64);
  if (r < 0 || b < 0) _exit(72);
  dup2(b, 3);
  dup2(r, 4);
  syscall(SYS_close_range, 5, ~0u, 0);
  *bell = 3;
  *region = 4;
}

static void reseed(cell *c) {
  PyObject *f = PyDict_GetItemString(c->guest, "_reseed");
  PyObject *done = f ? PyObject_CallNoArgs(f) : NULL;
  if (done) Py_DecRef(done);
  PyErr_Clear();
}

static void child(const fork_request *q, int region, int bell) {
  prctl(PR_SET_NAME, CELL_COMM);
  own_descriptors(&region, &bell);
  struct stat st;
  void *p = fstat(region, &st) ? MAP_FAILED
                               : (void *)syscall(SYS_mmap, NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, region, 0);
  close(region);
  if (p == MAP_FAILED || wire_attach(proto, p, (size_t)st.st_size, bell)) _exit(73);
  PyOS_AfterFork_Child();
  child_pid = getpid();
  child_tid = (int)syscall(SYS_gettid);
  atomic_store(&proto->hdr->tid, (uint32_t)child_tid);
  proto->thread = (unsigned long)pthread_self();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  sigaction(SIGRTMIN + 9, &(struct sigaction){.sa_handler = on_wake}, NULL);
  fault_handlers();
  start_watch(proto);
  reseed(proto);
  confine(q);
  loop_warm(proto);
  loop_run(proto);
  atomic_store(&proto->hdr->state, RING_ENDED);
  wire_try_send(proto, OUT_ENDED, 0, 0, NULL, 0);
  _exit(0);
}

// ---- the server -----------------------------------------------------------------------------------

// A raw clone: glibc's fork knows no namespaces. The process is single-threaded,
// so no lock can be held by somebody who is gone.
static pid_t clone_child(uint64_t flags, int *pidfd) {
  struct clone_args args = {.flags = flags | CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)pidfd, .exit_signal = SIGCHLD};
  return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

static void answer(const report *r, int fd) {
  struct iovec iov = {(void *)r, sizeof *r};
  union { struct cmsghdr head; char space[CMSG_SPACE(sizeof(int))]; } c = {0};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
  if (fd >= 0) {
    m.msg_control = &c;
    m.msg_controllen = sizeof c;
    c.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&c.head), &fd, sizeof fd);
  }
  if (sendmsg(CONTROL, &m, MSG_NOSIGNAL) < 0) _exit(0); // the host is gone
}

static int free_slot(void) {
  for (int i = 0; i < MAX_CELLS; i++)
    if (!children[i].pid) return i;
  return -1;
}

static void serve_fork(const fork_request *q, int region, int bell) {
  // Namespaces in falling order: where the kernel refuses some, the host is told.
  const uint64_t attempts[] = {q->clone_flags, q->clone_flags & ~(uint64_t)CLONE_NEWUSER, 0};
  report r = {.op = 1, .id = q->id, .error = ENFILE};
  int slot = free_slot(), pidfd = -1;
  pid_t pid = -1;
  for (int i = 0; slot >= 0 && pid < 0 && i < 3; i++) {
    PyOS_BeforeFork();
    pid = clone_child(attempts[i], &pidfd);
    if (pid == 0) child(q, region, bell);
    r.error = errno;
    r.clone_flags = attempts[i];
    PyOS_AfterFork_Parent();
  }
  if (pid > 0) {
    children[slot].id = q->id;
    children[slot].pid = pid;
    r.value = pid;
    r.error = 0;
  }
  answer(&r, pid > 0 ? pidfd : -1);
  if (pid > 0) close(pidfd);
}

// false when the host has hung up.
static bool serve_control(void) {
  fork_request q;
  struct iovec iov = {&q, sizeof q};
  union { struct cmsghdr head; char space[CMSG_SPACE(2 * sizeof(int))]; } c;
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
  ssize_t n = recvmsg(CONTROL, &m, MSG_CMSG_CLOEXEC);
  if (n == 0 || (n < 0 && errno != EINTR)) return false;
  if (n != sizeof q || q.op != 1 || m.msg_controllen < CMSG_LEN(2 * sizeof(int))) return true;
  int fds[2];
  memcpy(fds, CMSG_DATA(&c.head), sizeof fds);
  serve_fork(&q, fds[0], fds[1]);
  close(fds[0]);
  close(fds[1]);
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
        answer(&(report){.op = 2, .id = children[i].id, .value = status}, -1);
        break;
      }
}

static void serve(void) {
  struct pollfd fds[] = {{CONTROL, POLLIN, 0}, {signals, POLLIN, 0}};
  for (;;) {
    if (poll(fds, 2, -1) < 0 && errno != EINTR) _exit(1);
    if (fds[1].revents) reap();
    if (fds[0].revents && !serve_control()) _exit(0); // children die with us
  }
}

__attribute__((constructor)) static void zygote_main(int argc, char **argv, char **envp) {
  (void)envp;
  if (argc < 1 || strcmp(argv[0], "pyisolate-zygote")) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NAME, "pyisolate-zygo");
  sigset_t chld;
  sigemptyset(&chld);
  sigaddset(&chld, SIGCHLD);
  sigprocmask(SIG_BLOCK, &chld, NULL);
  signals = signalfd(-1, &chld, SFD_CLOEXEC);
  config k = {0};
  read_config(&k);
  start_python(&k);
  char pid[16];
  snprintf(pid, sizeof pid, "%d", getpid());
  say("ready", pid);
  serve();
}
