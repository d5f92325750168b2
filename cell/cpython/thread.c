// The thread executor: a cell is a POSIX thread that owns a sub-interpreter with
// its own GIL, for life.
#define _GNU_SOURCE
#include "thread.h"

#include "cell.h"
#include "confine.h"
#include "crash.h"
#include "frozen.h"
#include "layers.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// Address space only; what deep recursion does not touch costs nothing. CPython
// is told the bounds, so too deep a recursion is a RecursionError.
#define STACK_SIZE (1 << 20)
// How long an ending cell waits for threads its guest started.
#define THREADS_GRACE_MS 300

static int wake_signal;
int thread_listeners = -1;

static void on_wake(int signo) { (void)signo; } // its only use is EINTR

// ---- the main interpreter ----------------------------------------------------------------------

struct startup {
  const char *lib, *home, *stdlib;
  int start;
  char *err;
  size_t errlen;
  int rc;
  bool ready;
  pthread_mutex_t lock;
  pthread_cond_t done;
};

static void *runtime_main(void *arg) {
  struct startup *s = arg;
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, NULL);
  int rc = runtime_init(s->home, s->stdlib, s->err, s->errlen);
  // Where no frozen start is known for this Python, the plain one goes on working.
  if (!rc) frozen_prepare(s->start, s->stdlib, s->err, s->errlen);
  if (!rc) PyEval_SaveThread();
  pthread_mutex_lock(&s->lock);
  s->rc = rc;
  s->ready = true;
  pthread_cond_signal(&s->done);
  pthread_mutex_unlock(&s->lock);
  for (;;) pause(); // CPython expects its first thread to stay
  return NULL;
}

int thread_runtime(const char *lib, const char *home, const char *stdlib, int start, char *err, size_t errlen) {
  if (py_load(lib, err, errlen)) return -1;
  lookups_prepare();
  wake_signal = SIGRTMIN + 9;
  struct sigaction sa = {.sa_handler = on_wake, .sa_flags = SA_ONSTACK};
  sigaction(wake_signal, &sa, NULL);
  fault_handlers();
  struct startup s = {lib, home, stdlib, start, err, errlen, -1, false, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER};
  pthread_t thread;
  if (pthread_create(&thread, NULL, runtime_main, &s)) {
    snprintf(err, errlen, "start a thread: %s", strerror(errno));
    return -1;
  }
  pthread_detach(thread);
  pthread_mutex_lock(&s.lock);
  while (!s.ready) pthread_cond_wait(&s.done, &s.lock);
  pthread_mutex_unlock(&s.lock);
  memory_share(); // not before settle_libraries: they are to give memory back once
  return s.rc;
}

// ---- the reaper ----------------------------------------------------------------------------------

struct ended { struct ended *next; uint64_t id; };
static pthread_mutex_t ended_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ended *ended_list;
static int ended_fd = -1;

int thread_reaper_fd(void) {
  pthread_mutex_lock(&ended_lock);
  if (ended_fd < 0) ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  pthread_mutex_unlock(&ended_lock);
  return ended_fd;
}

uint64_t thread_reap(void) {
  pthread_mutex_lock(&ended_lock);
  struct ended *e = ended_list;
  if (e) ended_list = e->next;
  pthread_mutex_unlock(&ended_lock);
  uint64_t id = e ? e->id : 0;
  free(e);
  return id;
}

// ---- a cell's thread -------------------------------------------------------------------------------

typedef struct thread {
  cell *c;
  struct ended *ended; // allocated at the start, so that the end cannot fail
  int bell, reaper;    // in the cell's own descriptor table
  pthread_mutex_t lock; // guards alive against a late interrupt or kill
  bool alive;
} thread;

// A descriptor table of its own: the guest can neither use nor close what the host
// has open. Keeps the bell and the reaper, at 3 and 4: the next free number shall tell
// how many are open. 0 to 2 stay closed until there is an interpreter, so that CPython
// makes no streams of them: a cell has its own.
static bool own_descriptors(thread *t) {
  int lo = t->bell < t->reaper ? t->bell : t->reaper, hi = t->bell < t->reaper ? t->reaper : t->bell;
  syscall(SYS_close_range, hi + 1, ~0u, 0);
  if (hi > lo + 1) syscall(SYS_close_range, lo + 1, hi - 1, 0);
  syscall(SYS_close_range, 0, lo - 1, 0);
  if (lo <= 4) return true;
  t->bell = dup3(t->bell, 3, O_CLOEXEC);
  t->reaper = dup3(t->reaper, 4, O_CLOEXEC);
  syscall(SYS_close_range, 5, ~0u, 0);
  return t->bell == 3 && t->reaper == 4;
}

static bool null_streams(void) {
  return open("/dev/null", O_RDWR) == 0 && dup(0) == 1 && dup(0) == 2;
}

static void block_signals(void) {
  sigset_t set;
  sigfillset(&set);
  fault_signals(&set);
  sigdelset(&set, wake_signal);
  pthread_sigmask(SIG_SETMASK, &set, NULL);
}

static void send_unconfined(cell *c, const char *what) {
  char text[128];
  snprintf(text, sizeof text, "the cell's thread cannot be confined: %s", what);
  fault_send_text(c, 0, KIND_GONE, "", text);
}

static bool create_interpreter(cell *c) {
  PyInterpreterConfig config = {.use_main_obmalloc = 0, .allow_fork = 0, .allow_exec = 0, .allow_threads = 1,
                                .allow_daemon_threads = 0, .check_multi_interp_extensions = 1,
                                .gil = PyInterpreterConfig_OWN_GIL};
  c->starting = true;
  PyStatus status = Py_NewInterpreterFromConfig(&c->ts, &config);
  c->starting = false;
  if (status.type) {
    fault_send_text(c, 0, KIND_GONE, "", status.err_msg ? status.err_msg : "cannot create an interpreter");
    return false;
  }
  c->interp = PyInterpreterState_Get();
  cell_register(c);
  loop_stack_bounds(c);
  if (null_streams() && !frozen_finish() && !gate_install(c) && !guest_install(c) && !guest_hold(c)) return true;
  PyErr_Clear();
  fault_send_text(c, 0, KIND_GONE, "", "cannot set up the interpreter");
  return false;
}

// Have all threads the guest started gone? Ending an interpreter under them
// would abort the host.
static bool alone(cell *c) {
  struct timespec tick = {.tv_nsec = 1000000};
  for (int ms = 0; ms < THREADS_GRACE_MS; ms++) {
    if (!PyThreadState_Next(PyInterpreterState_ThreadHead(c->interp))) return true;
    loop_inject(c);
    wire_wake(c);
    PyThreadState *ts = PyEval_SaveThread();
    nanosleep(&tick, NULL);
    PyEval_RestoreThread(ts);
  }
  return false;
}

static void not_alive(thread *t) {
  pthread_mutex_lock(&t->lock);
  t->alive = false;
  pthread_mutex_unlock(&t->lock);
}

// The part of the stack that only the start was deep enough to touch.
static void give_back_stack(void) {
  pthread_attr_t attr;
  void *lo;
  size_t size, page = (size_t)sysconf(_SC_PAGESIZE);
  if (pthread_getattr_np(pthread_self(), &attr)) return;
  // This frame and what madvise itself needs may reach into the page below.
  uintptr_t used = ((uintptr_t)__builtin_frame_address(0) & ~(page - 1)) - page;
  if (!pthread_attr_getstack(&attr, &lo, &size) && used > (uintptr_t)lo) madvise(lo, used - (uintptr_t)lo, MADV_DONTNEED);
  pthread_attr_destroy(&attr);
}

// Tidies up behind the start while nobody waits. One that waits in a pool gives
// nothing back: its first program uses that again, and is preceded by another. One that has run a program may
// have threads, and objects that run code when they go.
static void rest(cell *c) {
  memory_grows(c);
  if (!c->claimed) {
    loop_warm(c);
    PyGC_Collect();
    return;
  }
  c->rest = NULL;
  if (PyThreadState_Next(PyInterpreterState_ThreadHead(c->interp))) return;
  memory_rest(c);
  give_back_stack();
}

// Each step needs what the next takes away. NULL, or what failed.
static const char *confine(thread *t) {
  if (unshare(CLONE_FILES)) return "a descriptor table";
  const char *failed = layers_notify(thread_listeners, t->c->hdr->worker);
  if (!failed) failed = layers_landlock();
  if (failed) return failed;
  if (!own_descriptors(t)) return "its descriptors";
  drop_capabilities();
  return layers_seccomp();
}

static void *thread_main(void *arg) {
  thread *t = arg;
  cell *c = t->c;
  block_signals();
  prctl(PR_SET_NAME, CELL_COMM);
  lookups_borrow(c);
  const char *open = confine(t);
  c->bell = t->bell;
  c->thread = (unsigned long)pthread_self();
  atomic_store(&c->hdr->tid, (uint32_t)syscall(SYS_gettid));
  cell_bind(c);
  bool born = !open && create_interpreter(c);
  if (open) send_unconfined(c, open);
  if (born) loop_run(c);
  atomic_store(&c->dying, true);
  if (c->ts) {
    if (born) loop_finish(c);
    if (born && !alone(c)) {
      // The host sees no end and retires this process with us in it.
      atomic_store(&c->hdr->state, RING_FAILED);
      PyEval_SaveThread();
      for (;;) pause();
    }
    not_alive(t); // nobody pokes an interpreter that is being taken apart
    atomic_store(&c->ending, true); // what runs from here on is CPython's own, and finalisers
    Py_EndInterpreter(c->ts);
    cell_unregister(c);
  }
  not_alive(t);
  atomic_store(&c->hdr->state, RING_ENDED);
  wire_try_send(c, OUT_ENDED, 0, 0, NULL, 0);
  cell_bind(NULL);
  memory_finish(c);
  int reaper = t->reaper; // once it is on the list, t may be freed
  pthread_mutex_lock(&ended_lock);
  t->ended->next = ended_list;
  ended_list = t->ended;
  pthread_mutex_unlock(&ended_lock);
  uint64_t one = 1;
  if (write(reaper, &one, sizeof one) < 0) return NULL;
  return NULL;
}

void *thread_start(void *region, size_t size, int bell, uint64_t id) {
  thread *t = calloc(1, sizeof *t);
  cell *c = calloc(1, sizeof *c);
  struct ended *e = calloc(1, sizeof *e);
  if (!t || !c || !e || wire_attach(c, region, size, bell)) goto fail;
  e->id = id;
  *t = (thread){.c = c, .ended = e, .bell = bell, .reaper = thread_reaper_fd(), .alive = true};
  pthread_mutex_init(&t->lock, NULL);
  c->rest = rest;
  c->poking = &t->lock;
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, STACK_SIZE);
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  int rc = pthread_create(&thread, &attr, thread_main, t);
  pthread_attr_destroy(&attr);
  if (!rc) return t;
  errno = rc;
fail:
  free(t);
  free(c);
  free(e);
  return NULL;
}

// Makes a sleeping, waiting or running guest look at what it is told. The GIL
// is not needed: pending calls have a lock of their own.
static int poke(thread *t, bool kill) {
  bool again = false;
  pthread_mutex_lock(&t->lock);
  if (t->alive) {
    cell *c = t->c;
    if (kill) atomic_store(&c->dying, true);
    if (c->interp && c->guest) loop_inject(c);
    if (kill) atomic_fetch_add(&c->hdr->ctl_seq, 1);
    wire_wake(c);
    if (c->thread) pthread_kill(c->thread, wake_signal);
    again = kill || wire_pursued(c);
  }
  pthread_mutex_unlock(&t->lock);
  return again;
}

int thread_interrupt(void *t) { return poke(t, false); }
int thread_kill(void *t) { return poke(t, true); }
void thread_free(void *t) {
  pthread_mutex_destroy(&((thread *)t)->lock);
  free(t);
}
