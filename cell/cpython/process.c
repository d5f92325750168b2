// What forked and freshly executed cells have in common.
#define _GNU_SOURCE
#include "process.h"

#include "cell.h"
#include "confine.h"
#include "crash.h"
#include "layers.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static cell *proto; // becomes the cell
static bool writes; // its files may grow

// ---- start ---------------------------------------------------------------------------------------

static void freeze(void) {
  PyGC_Collect();
  PyObject *gc = PyImport_ImportModule("gc"), *f = gc ? PyObject_GetAttrString(gc, "freeze") : NULL;
  PyObject *done = f ? PyObject_CallNoArgs(f) : NULL;
  if (done) Py_DecRef(done);
  if (f) Py_DecRef(f);
  if (gc) Py_DecRef(gc);
  PyErr_Clear();
}

void process_start(const config *k) {
  writes = k->writes;
  char err[512] = "";
  if (py_load(k->lib, err, sizeof err) || runtime_init(k->home, k->stdlib, err, sizeof err)) control_die(err);
  if (!(proto = calloc(1, sizeof *proto))) control_die("out of memory");
  proto->bell = -1;
  proto->interp = PyInterpreterState_Get();
  proto->ts = PyThreadState_GetUnchecked();
  cell_register(proto);
  cell_bind(proto);
  loop_stack_bounds(proto);
  if (gate_install(proto) || guest_install(proto) || support_load_all(proto)) control_die("cannot set up the interpreter");
  for (int i = 0; i < k->preloads; i++) {
    PyObject *m = PyImport_ImportModule(k->preload[i]);
    if (m) Py_DecRef(m);
    else PyErr_Clear(); // a cut-down standard library
  }
  freeze();
}

// ---- the cell --------------------------------------------------------------------------------------

// Since Linux 5.14 a user namespace counts its processes for itself.
static bool namespaces_count(void) {
  struct utsname u;
  int major = 0, minor = 0;
  return !uname(&u) && sscanf(u.release, "%d.%d", &major, &minor) == 2 && (major > 5 || (major == 5 && minor >= 14));
}

static uint64_t address_space(void) {
  unsigned long pages = 0;
  FILE *f = fopen("/proc/self/statm", "re");
  if (f && fscanf(f, "%lu", &pages) != 1) pages = 0;
  if (f) fclose(f);
  return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void confine(const request *q, uint64_t granted) {
  setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
  if (!writes) setrlimit(RLIMIT_FSIZE, &(struct rlimit){0, 0});
  proto->counted = q->own || ((granted & CLONE_NEWUSER) && namespaces_count());
  drop_capabilities();
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_DUMPABLE, 0);
  if (layers_seccomp()) _exit(77);
}

static void on_wake(int signo) { (void)signo; }

static int cell_tid, cell_pid;

// The host cannot reach into this process: it bumps ctl_seq, and this thread
// turns that into an injection.
static void *watch(void *arg) {
  cell *c = arg;
  for (uint32_t seen = 0;;) {
    uint32_t seq = atomic_load(&c->hdr->ctl_seq);
    const struct timespec again = {.tv_nsec = 20000000};
    bool pending = wire_pursued(c); // may sleep where only the next signal wakes it
    if (seq == seen && syscall(SYS_futex, &c->hdr->ctl_seq, FUTEX_WAIT, seen, pending ? &again : NULL, NULL, 0) == 0) continue;
    if (seq == seen && !pending) continue;
    seen = seq;
    loop_inject(c);
    wire_wake(c);
    syscall(SYS_tgkill, cell_pid, cell_tid, SIGRTMIN + 9);
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

static uint64_t worker_of(int region) {
  uint64_t worker = 0;
  return pread(region, &worker, sizeof worker, offsetof(ring_hdr, worker)) == sizeof worker ? worker : 0;
}

void process_cell(const request *q, uint64_t granted, int region, int bell, bool forked) {
  prctl(PR_SET_NAME, CELL_COMM);
  proto->space = address_space(); // may not be read afterwards
  if (layers_notify(LISTENERS, worker_of(region))) _exit(78); // while the socket is open
  if (layers_landlock()) _exit(76); // while the ruleset is open
  own_descriptors(&region, &bell);
  struct stat st;
  void *p = fstat(region, &st) ? MAP_FAILED
                               : (void *)syscall(SYS_mmap, NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, region, 0);
  close(region);
  if (p == MAP_FAILED || wire_attach(proto, p, (size_t)st.st_size, bell)) _exit(73);
  if (forked) PyOS_AfterFork_Child();
  cell_pid = getpid();
  cell_tid = (int)syscall(SYS_gettid);
  atomic_store(&proto->hdr->tid, (uint32_t)cell_tid);
  proto->thread = (unsigned long)pthread_self();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  sigaction(SIGRTMIN + 9, &(struct sigaction){.sa_handler = on_wake}, NULL);
  fault_handlers();
  confine(q, granted); // before there is a second thread, which would keep what this one drops
  proto->begin = start_watch; // no sooner: it is to be bound in the kernel with its cell
  reseed(proto);
  loop_warm(proto);
  loop_run(proto);
  atomic_store(&proto->hdr->state, RING_ENDED);
  wire_try_send(proto, OUT_ENDED, 0, 0, NULL, 0);
  _exit(0);
}
