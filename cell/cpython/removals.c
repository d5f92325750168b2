// Functions that no guest may have: they reach the process, which is its siblings' too, or
// other processes. They are replaced in their module when that is loaded, so that the
// standard library does without them as well.
#define _GNU_SOURCE
#include "cell.h"

#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static PyObject *refused(PyObject *self, PyObject *args) {
  (void)args;
  cell *c = cell_current();
  const char *name = gate_text(self);
  if (c) policy_deny(c, "process", name ? name : "this function");
  return NULL;
}

static PyObject *ignored(PyObject *self, PyObject *args) {
  (void)self;
  (void)args;
  Py_IncRef(Py_None);
  return Py_None;
}

// time.sleep that an interrupt can end: CPython's own sleeps through it.
static PyObject *interruptible_sleep(PyObject *self, PyObject *arg) {
  (void)self;
  cell *c = cell_current();
  double seconds = PyFloat_AsDouble(arg);
  if (seconds == -1 && PyErr_Occurred()) return NULL;
  if (!(seconds >= 0) || seconds > 1e9) {
    PyErr_SetString(PyExc_ValueError, seconds < 0 ? "sleep length must be non-negative" : "sleep length is too long");
    return NULL;
  }
  struct timespec now, end;
  clock_gettime(CLOCK_MONOTONIC, &end);
  end.tv_sec += (time_t)seconds;
  end.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
  if (end.tv_nsec >= 1000000000) end.tv_sec++, end.tv_nsec -= 1000000000;
  PyThreadState *ts = PyEval_SaveThread();
  for (;;) {
    uint32_t seq = atomic_load(&c->hdr->ctl_seq);
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t left = (end.tv_sec - now.tv_sec) * 1000000000ll + (end.tv_nsec - now.tv_nsec);
    if (left <= 0 || wire_stopped(c)) break;
    struct timespec wait = {left / 1000000000, left % 1000000000};
    syscall(SYS_futex, &c->hdr->ctl_seq, FUTEX_WAIT, seq, &wait, NULL, 0);
  }
  PyEval_RestoreThread(ts);
  if (wire_stopped(c)) {
    PyErr_SetNone(c->interrupt);
    return NULL;
  }
  return ignored(NULL, NULL);
}

enum { ABSENT = -1 }; // in flags: code that does without it is not ready for a refusal

typedef struct { const char *module, *names; PyCFunction replacement; int flags; } removal;

static const removal removals[] = {
    {"sys", "_current_frames _current_exceptions remote_exec setswitchinterval setdlopenflags activate_stack_trampoline "
            "_debugmallocstats _clear_internal_caches _clear_type_cache _dump_tracelets "
            "set_lazy_imports set_lazy_imports_filter", refused, METH_VARARGS | METH_KEYWORDS},
    {"posix", "_exit abort kill killpg fork fork1 forkpty vfork execv execve posix_spawn posix_spawnp system "
              "umask nice setpriority sched_setaffinity sched_setscheduler sched_setparam chroot setuid setgid seteuid "
              "setegid setreuid setregid setresuid setresgid setgroups initgroups setsid setpgid tcsetpgrp setns unshare "
              "memfd_create eventfd timerfd_create openpty posix_openpt login_tty wait wait3 wait4 waitpid waitid plock "
              "setpgrp ctermid mkfifo mknod", refused, METH_VARARGS | METH_KEYWORDS}, // the last two raise no event
    {"posix", "pidfd_open", NULL, ABSENT}, // subprocess, and so asyncio, tries it when imported
    {"posix", "putenv unsetenv register_at_fork", ignored, METH_VARARGS | METH_KEYWORDS},
    {"_signal", "alarm setitimer raise_signal pthread_kill pthread_sigmask pidfd_send_signal siginterrupt pause sigwait "
                "sigwaitinfo sigtimedwait set_wakeup_fd", refused, METH_VARARGS | METH_KEYWORDS},
    {"_thread", "interrupt_main", refused, METH_VARARGS | METH_KEYWORDS},
    {"_curses", "initscr", refused, METH_VARARGS | METH_KEYWORDS}, // ends the process where it finds no terminal
    {"_posixsubprocess", "fork_exec", refused, METH_VARARGS | METH_KEYWORDS},
    {"_multiprocessing", "SemLock sem_unlink", NULL, ABSENT}, // files in /dev/shm; multiprocessing is ready for it
    {"resource", "setrlimit prlimit", refused, METH_VARARGS | METH_KEYWORDS},
    {"time", "sleep", interruptible_sleep, METH_O},
    {"time", "clock_settime clock_settime_ns", refused, METH_VARARGS | METH_KEYWORDS},
    {"time", "pthread_getcpuclockid", refused, METH_VARARGS | METH_KEYWORDS}, // reads where the number says
    {"time", "tzset", ignored, METH_VARARGS | METH_KEYWORDS}, // the zone is the process's; strptime asks for it
    {"_locale", "setlocale", NULL, 0}, // see fixed_setlocale
    {"_locale", "textdomain bindtextdomain bind_textdomain_codeset", refused, METH_VARARGS | METH_KEYWORDS}, // the process's, too
    {NULL, NULL, NULL, 0},
};

// The locale is the process's: cells see "C.UTF-8" and may set what is set already.
static PyObject *fixed_setlocale(PyObject *self, PyObject *args) {
  (void)self;
  PyObject *wanted = PyTuple_Size(args) > 1 ? PyTuple_GetItem(args, 1) : Py_None;
  const char *name = gate_text(wanted);
  if (!name || !*name || !strcmp(name, "C") || !strcmp(name, "POSIX") || !strcmp(name, "C.UTF-8"))
    return PyUnicode_FromStringAndSize("C", 1);
  cell *c = cell_current();
  if (c) policy_deny(c, "process", "setlocale");
  return NULL;
}

static PyMethodDef refused_def = {"refused", (PyCFunction)refused, METH_VARARGS | METH_KEYWORDS, NULL};
static PyMethodDef ignored_def = {"ignored", (PyCFunction)ignored, METH_VARARGS | METH_KEYWORDS, NULL};
static PyMethodDef sleep_def = {"sleep", interruptible_sleep, METH_O, "Sleeps for some seconds."};
static PyMethodDef setlocale_def = {"setlocale", fixed_setlocale, METH_VARARGS, NULL};

static PyMethodDef *definition(const removal *r) {
  if (r->flags == ABSENT) return NULL;
  if (r->replacement == interruptible_sleep) return &sleep_def;
  if (r->replacement == ignored) return &ignored_def;
  return r->replacement ? &refused_def : &setlocale_def;
}

// replace puts what def defines in the place of what has the name, if anything has; 0, or -1 with an exception.
static int replace(PyObject *dict, const char *module, const char *name, PyMethodDef *def) {
  PyObject *key = PyUnicode_DecodeUTF8(name, (Py_ssize_t)strlen(name), NULL);
  bool there = key && PyDict_GetItemWithError(dict, key);
  PyObject *self = NULL, *f = NULL;
  int rc = PyErr_Occurred() ? -1 : 0;
  if (there && !def) rc = PyDict_DelItemString(dict, name);
  if (there && def) {
    char full[96];
    self = PyUnicode_DecodeUTF8(full, snprintf(full, sizeof full, "%s.%s", module, name), NULL);
    f = self ? PyCFunction_NewEx(def, self, NULL) : NULL;
    rc = f ? PyDict_SetItem(dict, key, f) : -1;
  }
  if (f) Py_DecRef(f);
  if (self) Py_DecRef(self);
  if (key) Py_DecRef(key);
  return rc;
}

int removals_apply(const char *module, PyObject *dict) {
  for (const removal *r = removals; r->module; r++) {
    if (strcmp(r->module, module)) continue;
    char list[1024], *rest = NULL;
    snprintf(list, sizeof list, "%s", r->names);
    for (char *name = strtok_r(list, " ", &rest); name; name = strtok_r(NULL, " ", &rest))
      if (replace(dict, module, name, definition(r))) return -1;
  }
  return 0;
}
