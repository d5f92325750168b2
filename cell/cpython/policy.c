// The audit hook: an early, readable refusal, and telemetry. It is not the
// boundary (the kernel is): a guest that corrupts its process's memory is past
// it. Rules are looked up by the event's text; the verdict is remembered by the
// address of CPython's own literals, which never move.
#define _GNU_SOURCE
#include "cell.h"
#include "policy.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef enum {
  ALLOW = 1,
  DENY,
  SHARED_DENY,  // other cells live in this process
  TRUSTED_ONLY, // the caller's code is the standard library's
  MAKE_CODE,    // by the type, or by replace
  LOAD_CODE,    // argument 0 is marshalled code
  READ_PATH,    // argument 0 is a path to look at, or a descriptor
  CHANGE_PATH,  // arguments path, directory descriptor
  MAKE_PATH,    // arguments path, another, and perhaps a directory descriptor
  RENAME,       // arguments from, to, and a directory descriptor for each
  OPEN,         // arguments path, mode, flags
  SOCKET,       // arguments self, family, type, protocol
  REACH,        // arguments self, address: the kernel judges it
  NETWORK,      // look-ups of names
  THREAD,
  COMPILE,      // arguments source, filename
  MAPPING,      // arguments fileno, …
  DATABASE,     // argument 0 is a path or ":memory:"
  IMPORT,       // argument 0 is a module name
  CONTROL,      // arguments fd, command
} verdict;

struct rule { const char *event; verdict verdict; const char *capability; };

// First match wins; an event that ends in '.' or '*' here is a prefix.
static const rule rules[] = {
    {"import", IMPORT, "import"},
    {"open", OPEN, "fs"},
    {"os.listdir", READ_PATH, "fs"},
    {"os.scandir", READ_PATH, "fs"},
    {"os.walk", READ_PATH, "fs"},
    {"os.putenv", ALLOW, ""},
    {"os.unsetenv", ALLOW, ""},
    {"os.add_dll_directory", ALLOW, ""},
    {"os.chdir", SHARED_DENY, "process"},
    {"os.fork", DENY, "process"},
    {"os.forkpty", DENY, "process"},
    {"os.exec", DENY, "process"},
    {"os.posix_spawn", DENY, "process"},
    {"os.spawn", DENY, "process"},
    {"os.system", DENY, "process"},
    {"os.kill*", DENY, "process"},
    {"os.mkdir", MAKE_PATH, "fs"},
    {"os.remove", CHANGE_PATH, "fs"},
    {"os.rmdir", CHANGE_PATH, "fs"},
    {"os.truncate", MAKE_PATH, "fs"},
    {"os.rename", RENAME, "fs"},
    {"os.", DENY, "fs"},
    {"subprocess.", DENY, "process"},
    {"pty.spawn", DENY, "process"},
    {"signal.pthread_kill", DENY, "process"},
    {"_thread.start_new_thread", THREAD, "thread"},
    {"_thread.start_joinable_thread", THREAD, "thread"},
    {"socket.__new__", SOCKET, "net"},
    {"socket.connect", REACH, "net"},
    {"socket.send*", REACH, "net"},
    {"socket.get*", NETWORK, "net"},
    {"socket.", DENY, "net"},
    {"ctypes.", DENY, "native"},
    {"code.__new__", MAKE_CODE, "code"},
    {"marshal.loads", LOAD_CODE, "code"},
    {"marshal.load", DENY, "code"}, // of a file; its event does not tell of the code
    {"marshal.", TRUSTED_ONLY, "code"},
    {"compile", COMPILE, "code"},
    {"sys._getframe", TRUSTED_ONLY, "frames"},
    {"sys._current_*", DENY, "frames"},
    {"sys.remote_exec", DENY, "native"},
    {"sys.addaudithook", ALLOW, ""},
    {"mmap.__new__", MAPPING, "fs"},
    {"sqlite3.connect", DATABASE, "fs"},
    {"sqlite3.enable_load_extension", DENY, "native"},
    {"sqlite3.load_extension", DENY, "native"},
    {"fcntl.fcntl", CONTROL, "process"},
    {"fcntl.ioctl", SHARED_DENY, "process"},
    {"resource.", SHARED_DENY, "process"},
    {"syslog.", DENY, "process"},
    {"faulthandler.", DENY, "process"},
    {"shutil.", ALLOW, ""}, // ends in os.* events of its own
    {"cpython._PySys_ClearAuditHooks", ALLOW, ""},
    {NULL, ALLOW, ""},
};

// ---- rule look-up --------------------------------------------------------------------------

static const rule *match(const char *event) {
  const rule *r = rules;
  for (; r->event; r++) {
    size_t n = strlen(r->event);
    char last = r->event[n - 1];
    if (last == '*' ? !strncmp(event, r->event, n - 1) : last == '.' ? !strncmp(event, r->event, n) : !strcmp(event, r->event))
      break;
  }
  return r;
}

#define CACHE 512
static _Atomic uintptr_t cache_key[CACHE];
static const rule *cache_rule[CACHE];
static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;

static const rule *lookup(const char *event) {
  uintptr_t key = (uintptr_t)event;
  if (key < py_image_lo || key >= py_image_hi) return match(event); // sys.audit of a guest's own string
  unsigned at = (unsigned)(key * 0x9E3779B97F4A7C15ull >> 55) % CACHE;
  if (atomic_load_explicit(&cache_key[at], memory_order_acquire) == key) return cache_rule[at];
  const rule *r = match(event);
  pthread_mutex_lock(&cache_lock);
  if (!atomic_load(&cache_key[at])) { // a slot is written once: readers never see it change
    cache_rule[at] = r;
    atomic_store_explicit(&cache_key[at], key, memory_order_release);
  }
  pthread_mutex_unlock(&cache_lock);
  return r;
}

// ---- refusals ------------------------------------------------------------------------------

int policy_deny(cell *c, const char *capability, const char *action) {
  char clean[256];
  snprintf(clean, sizeof clean, "%s", action);
  if (c->hdr) {
    atomic_fetch_add_explicit(&c->hdr->denials, 1, memory_order_relaxed);
    uint32_t n = (uint32_t)strlen(capability);
    part parts[] = {{&n, sizeof n}, {capability, n}, {clean, strlen(clean)}};
    // Evidence, best effort: a guest that floods refusals loses the surplus,
    // and the counter above still counts them.
    wire_try_send(c, OUT_DENIAL, 0, atomic_load(&c->op), parts, 3);
  }
  if (atomic_load(&c->ending)) { // our exception classes may be gone
    PyErr_SetString(PyExc_RuntimeError, "refused while the interpreter ends");
    return -1;
  }
  bool import = !strcmp(capability, "import");
  if (support_load(c, SUPPORT_ERRORS)) return -1; // for want of memory: denied all the same
  PyErr_Format(import ? c->import_denied : c->denied, "%s: %s is not allowed by the policy of this cell", capability, clean);
  return -1;
}

int policy_deny_event(cell *c, const rule *r, const char *event, const char *detail) {
  char action[256];
  snprintf(action, sizeof action, detail && *detail ? "%s %s" : "%s", event, detail ? detail : "");
  return policy_deny(c, r->capability, action);
}

const char *policy_path(PyObject *args, Py_ssize_t i, size_t *n) {
  PyObject *o = PyTuple_GetItem(args, i);
  const char *p = NULL;
  Py_ssize_t len = 0;
  if (!o) {
    PyErr_Clear();
    return NULL;
  }
  unsigned long flags = PyType_GetFlags(Py_TYPE(o));
  if (flags & TPFLAGS_UNICODE) p = PyUnicode_AsUTF8AndSize(o, &len);
  else if ((flags & TPFLAGS_BYTES) && PyBytes_AsStringAndSize(o, (char **)&p, &len)) p = NULL;
  if (!p) PyErr_Clear();
  *n = (size_t)len;
  return p;
}

long policy_int(PyObject *args, Py_ssize_t i, long missing) {
  PyObject *o = PyTuple_GetItem(args, i);
  long v = o && (PyType_GetFlags(Py_TYPE(o)) & TPFLAGS_LONG) ? PyLong_AsLong(o) : missing;
  if (PyErr_Occurred()) {
    PyErr_Clear();
    return missing;
  }
  return v;
}

// Of fcntl, what concerns the descriptor. By the rest the kernel signals any process of
// the same user, or tells of what others do. kernel/seccomp has the same list.
static bool harmless_control(long command) {
  switch (command) {
  case F_DUPFD: case F_DUPFD_CLOEXEC: case F_GETFD: case F_SETFD: case F_GETFL: case F_SETFL:
  case F_GETLK: case F_SETLK: case F_SETLKW: case F_OFD_GETLK: case F_OFD_SETLK: case F_OFD_SETLKW:
  case F_GETPIPE_SZ: case F_GET_SEALS: return true;
  default: return false;
  }
}

// Addresses of the internet are tuples; those of Unix sockets are not. None is what a socket is
// connected to already.
static bool reaches_internet(PyObject *args) {
  PyObject *address = PyTuple_GetItem(args, 1);
  if (!address) PyErr_Clear();
  return address && (address == Py_None || (PyType_GetFlags(Py_TYPE(address)) & TPFLAGS_TUPLE));
}

static int judge(cell *c, const rule *r, const char *event, PyObject *args) {
  size_t n = 0;
  const char *path;
  switch (r->verdict) {
  case ALLOW: return 0;
  case DENY: return policy_deny_event(c, r, event, policy_path(args, 0, &n));
  case SHARED_DENY: return c->shared ? policy_deny_event(c, r, event, policy_path(args, 0, &n)) : 0;
  case TRUSTED_ONLY: return gate_trusted_frame() ? 0 : policy_deny_event(c, r, event, NULL);
  case MAKE_CODE: return code_vouched(c) ? 0 : policy_deny_event(c, r, event, NULL);
  case LOAD_CODE: return code_vouched(c) ? 0 : code_check_load(c, r, event, args);
  case READ_PATH: return files_check_read(c, r, event, args);
  case CHANGE_PATH: return files_check_change(c, r, event, args, 1);
  case MAKE_PATH: return files_check_change(c, r, event, args, 2);
  case RENAME: return files_check_rename(c, r, event, args);
  case OPEN: return files_check_open(c, r, event, args);
  case SOCKET: return files_check_socket(c, r, event, args);
  case REACH:
    return rules_network(c) && reaches_internet(args) ? 0 : policy_deny_event(c, r, event, NULL);
  case NETWORK: return rules_network(c) ? 0 : policy_deny_event(c, r, event, NULL);
  case THREAD: return children_check(c);
  case COMPILE: return code_check_compile(c, r, args);
  case MAPPING: return policy_int(args, 0, 0) == -1 ? 0 : policy_deny_event(c, r, event, "of a file");
  case DATABASE:
    path = policy_path(args, 0, &n);
    if (path && n == 8 && !memcmp(path, ":memory:", 8)) return 0;
    return path && rules_permit(c, path, n, ACCESS_READ | ACCESS_WRITE) ? 0 : policy_deny_event(c, r, event, path);
  case CONTROL: return harmless_control(policy_int(args, 1, -1)) ? 0 : policy_deny_event(c, r, event, NULL);
  case IMPORT:
    path = policy_path(args, 0, &n);
    return path ? gate_check_import(c, path) : 0;
  }
  return 0;
}

int policy_hook(const char *event, PyObject *args, void *unused) {
  (void)unused;
  cell *c = cell_current();
  if (c && c->starting && PyThreadState_GetUnchecked()) memory_hold_collector(c); // the earliest moment there is
  if (!c || !c->claimed) return 0;
  const rule *r = lookup(event);
  return r->verdict == ALLOW ? 0 : judge(c, r, event, args);
}
