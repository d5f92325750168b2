// The cell loop: one for both executors. It takes frames off the ring, runs
// them in the interpreter and answers; everything else a guest does on the way
// goes through guest.c.
#define _GNU_SOURCE
#include "cell.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

// The first time it asks the kernel, by a file that a confined cell cannot read.
void loop_stack_bounds(cell *c) {
  pthread_attr_t attr;
  if (!c->stack && !pthread_getattr_np(pthread_self(), &attr)) {
    if (pthread_attr_getstack(&attr, &c->stack, &c->stack_size)) c->stack = NULL;
    pthread_attr_destroy(&attr);
  }
  if (c->stack) PyUnstable_ThreadState_SetStackProtection(c->ts, c->stack, c->stack_size);
}

// ---- interrupting ------------------------------------------------------------------------------

static void arm(cell *c);

// Runs on a thread of the interpreter, between two bytecodes. It raises, and
// sees to it that it will again, until the operation is over: an
// `except BaseException` only meets the next one.
static int inject(void *arg) {
  cell *c = arg;
  atomic_store(&c->armed, 0);
  // CPython's own end drains pending calls: one that came back would never be drained.
  if (atomic_load(&c->ending) || !wire_interrupted(c)) return 0;
  arm(c);
  if (!wire_stopped(c)) return 0; // not this thread's operation
  PyErr_SetNone(c->interrupt);
  return -1;
}

static void arm(cell *c) {
  if (!atomic_exchange(&c->armed, 1) && _PyEval_AddPendingCall(c->interp, inject, c, 0)) atomic_store(&c->armed, 0);
}

void loop_inject(cell *c) { arm(c); }

// ---- operations --------------------------------------------------------------------------------

void loop_begin(cell *c, uint64_t op) {
  c->denied_before = atomic_load(&c->hdr->mem_denied);
  atomic_store(&c->hdr->state, RING_BUSY);
  c->gave_up = false;
  atomic_store(&c->op, op);
}

// false: it was interrupted, and has been answered so.
static bool succeed(cell *c, uint64_t op) {
  if (wire_interrupted(c)) {
    if (!PyErr_Occurred()) PyErr_SetNone(c->interrupt);
    fault_send(c, op);
    return false;
  }
  atomic_store(&c->op, 0);
  return true;
}

// Bytes that are just that: they go without any code of the guest's. Takes o.
static PyObject *exact_bytes(PyObject *o) {
  char *p;
  Py_ssize_t n;
  if (Py_TYPE(o) == PyBytes_Type_ || !(PyType_GetFlags(Py_TYPE(o)) & TPFLAGS_BYTES)) return o;
  PyObject *exact = PyBytes_AsStringAndSize(o, &p, &n) ? NULL : PyBytes_FromStringAndSize(p, n);
  Py_DecRef(o);
  return exact;
}

void loop_answer(cell *c, uint64_t op, PyObject *result, size_t max) {
  text t = {.max = max};
  part body;
  uint8_t flags;
  if (result) result = exact_bytes(result);
  bool ok = result && !value_pack(&t, result, "result", &body, &flags);
  if (result && !(ok && flags & FLAG_RAW)) {
    PyObject *exc = PyErr_GetRaisedException();
    Py_DecRef(result);
    if (exc) PyErr_SetRaisedException(exc);
    result = NULL;
  }
  if (!ok) fault_send(c, op);
  else if (succeed(c, op)) wire_send(c, OUT_RESULT, flags, op, &body, 1);
  text_free(&t);
  if (result) Py_DecRef(result);
}

// In a process of the cell's own the kernel bounds what the accounting cannot
// see: the address space it began with, plus the limit, plus room for what is not memory.
// Package host changes these with the limits.
static void tighten(const cell *c) {
  rlim_t space = (rlim_t)c->space + (rlim_t)rules_memory(c) + (64u << 20);
  if (c->space) setrlimit(RLIMIT_AS, &(struct rlimit){space, space});
  rlim_t files = rules_files(c) + 8;
  setrlimit(RLIMIT_NOFILE, &(struct rlimit){files, files});
  // The audit hook counts threads to the one; an ended thread counts here a little longer.
  rlim_t threads = 2 * (rlim_t)rules_children(c) + 16;
  if (c->counted) setrlimit(RLIMIT_NPROC, &(struct rlimit){threads, threads});
}

static void do_claim(cell *c, const frame *f) {
  uint32_t flags;
  if (c->claimed || f->h.len != sizeof flags) {
    fault_send_text(c, f->h.id, KIND_INVALID, "", "a claim comes once and whole");
    return;
  }
  memcpy(&flags, f->data, sizeof flags);
  c->shared = flags & POLICY_SHARED;
  c->base = atomic_load(&c->used);
  // By now the node has bound this thread in the kernel, or left a binding for it that it takes
  // with its next prctl. What it starts from here on is bound with it.
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
    fault_send_text(c, f->h.id, KIND_GONE, "", "the cell's thread did not get its binding in the kernel");
    return;
  }
  if (c->begin) c->begin(c);
  c->claimed = true;
  if (!c->shared) tighten(c);
  wire_send(c, OUT_RESULT, 0, f->h.id, NULL, 0);
}

// The last source is kept for the lines of its tracebacks.
static bool remember(cell *c, const char *file, size_t file_len, const char *source, size_t n) {
  free(c->file);
  free(c->source);
  c->file = strndup(file, file_len);
  c->source = malloc(n + 1);
  c->source_len = n;
  if (!c->file || !c->source) return false;
  memcpy(c->source, source, n);
  c->source[n] = 0;
  return true;
}

// Sets up what a program expects to find before its first line.
static bool prepare(cell *c, const char *args, size_t n, bool stdin_too) {
  PyObject *file = PyUnicode_DecodeUTF8(c->file, (Py_ssize_t)strlen(c->file), "replace");
  PyObject *argv = n ? value_decode(args, n) : PyList_New(0);
  bool ok = file && argv && !PyList_Insert(argv, 0, file) && !PySys_SetObject("argv", argv);
  if (argv) Py_DecRef(argv);
  if (file) Py_DecRef(file);
  if (!ok || !stdin_too) return ok;
  PyObject *inbox = support_call(c, SUPPORT_STREAMS, "_inbox", NULL, NULL, NULL);
  ok = inbox && !PySys_SetObject("stdin", inbox);
  if (inbox) Py_DecRef(inbox);
  return ok;
}

static PyObject *run_restricted(cell *c) {
  PyObject *source = PyUnicode_DecodeUTF8(c->source, (Py_ssize_t)c->source_len, NULL);
  PyObject *file = PyUnicode_DecodeUTF8(c->file, (Py_ssize_t)strlen(c->file), "replace"), *code = NULL, *result = NULL;
  if (source && file) code = support_call(c, SUPPORT_DIALECT, "_restricted", source, file, NULL);
  c->slack = 0;
  if (code) result = support_call(c, SUPPORT_DIALECT, "_run_restricted", code, NULL, NULL);
  if (code) Py_DecRef(code);
  if (file) Py_DecRef(file);
  if (source) Py_DecRef(source);
  return result;
}

static PyObject *run_source(cell *c, uint8_t flags) {
  if (memchr(c->source, 0, c->source_len)) {
    PyErr_SetString(PyExc_SyntaxError, "source code cannot contain null bytes");
    return NULL;
  }
  if (flags & FLAG_RESTRICTED) return run_restricted(c);
  PyObject *code = Py_CompileString(c->source, c->file, Py_file_input);
  c->slack = 0;
  PyObject *result = code ? PyEval_EvalCode(code, c->main_dict, c->main_dict) : NULL;
  if (code) Py_DecRef(code);
  return result;
}

// sys.exit() and sys.exit(0) end a program well. Returns true and clears the error then.
static bool clean_exit(void) {
  PyObject *exc = PyErr_GetRaisedException();
  bool clean = false;
  if (exc && PyErr_GivenExceptionMatches(exc, PyExc_SystemExit)) {
    PyObject *code = PyObject_GetAttrString(exc, "code");
    clean = code && (code == Py_None || code == Py_False ||
                     ((PyType_GetFlags(Py_TYPE(code)) & TPFLAGS_LONG) && PyObject_IsTrue(code) == 0));
    if (code) Py_DecRef(code);
    PyErr_Clear();
  }
  if (clean) Py_DecRef(exc);
  else if (exc) PyErr_SetRaisedException(exc);
  return clean;
}

static void flush_streams(cell *c) {
  bool untouched = !(c->supported & 1u << SUPPORT_STREAMS) && PySys_GetObject("stdout") == c->stdout_kept &&
                   PySys_GetObject("stderr") == c->stderr_kept;
  if (untouched) return;
  PyObject *exc = PyErr_GetRaisedException();
  PyObject *done = support_call(c, SUPPORT_GUEST, "_finish", NULL, NULL, NULL);
  if (done) Py_DecRef(done);
  else PyErr_Clear();
  if (exc) PyErr_SetRaisedException(exc);
}

static PyObject *none(void) {
  Py_IncRef(Py_None);
  return Py_None;
}

static void do_exec(cell *c, const frame *f) {
  uint32_t n[2];
  if (f->h.len < sizeof n || (memcpy(n, f->data, sizeof n), (uint64_t)n[0] + n[1] > f->h.len - sizeof n)) {
    fault_send_text(c, f->h.id, KIND_INVALID, "", "malformed exec");
    return;
  }
  const char *file = f->data + sizeof n, *args = file + n[0], *source = args + n[1];
  loop_begin(c, f->h.id);
  PyObject *result = NULL;
  c->slack = 2 << 20; // a guest at its limit can still be told to let go of things
  if (!remember(c, file, n[0], source, (size_t)(f->data + f->h.len - source))) PyErr_NoMemory();
  else if (prepare(c, args, n[1], f->h.flags & FLAG_STDIN)) result = run_source(c, f->h.flags);
  c->slack = 0;
  bool ok = result || clean_exit();
  if (result) Py_DecRef(result);
  flush_streams(c);
  loop_answer(c, f->h.id, ok ? none() : NULL, 0);
}

static PyObject *find_target(cell *c, const char *target, size_t n) {
  if (!memchr(target, '.', n)) {
    char name[256];
    snprintf(name, sizeof name, "%.*s", (int)n, target);
    PyObject *found = n < sizeof name ? PyDict_GetItemString(c->main_dict, name) : NULL;
    if (found) {
      Py_IncRef(found);
      return found;
    }
  }
  PyObject *text = PyUnicode_DecodeUTF8(target, (Py_ssize_t)n, NULL);
  PyObject *found = text ? support_call(c, SUPPORT_GUEST, "_resolve", text, NULL, NULL) : NULL;
  if (text) Py_DecRef(text);
  return found;
}

static PyObject *call_args(const frame *f, const char *p, size_t n) {
  if (f->h.flags & FLAG_RAW) {
    PyObject *bytes = PyBytes_FromStringAndSize(p, (Py_ssize_t)n), *one = bytes ? PyTuple_New(1) : NULL;
    if (one) PyTuple_SetItem(one, 0, bytes); // takes it
    else if (bytes) Py_DecRef(bytes);
    return one;
  }
  if (!n) return PyTuple_New(0);
  PyObject *list = value_decode(p, n), *tuple = NULL;
  if (list && (PyType_GetFlags(Py_TYPE(list)) & TPFLAGS_LIST)) tuple = PyList_AsTuple(list);
  else if (list) PyErr_SetString(PyExc_TypeError, "call arguments must be a JSON array");
  if (list) Py_DecRef(list);
  return tuple;
}

static PyObject *call_kwargs(const char *p, size_t n) {
  PyObject *dict = n ? value_decode(p, n) : PyDict_New();
  if (dict && !(PyType_GetFlags(Py_TYPE(dict)) & TPFLAGS_DICT)) {
    PyErr_SetString(PyExc_TypeError, "call keyword arguments must be a JSON object");
    Py_DecRef(dict);
    return NULL;
  }
  return dict;
}

static void do_call(cell *c, const frame *f) {
  uint32_t n[3];
  if (f->h.len < sizeof n || (memcpy(n, f->data, sizeof n), (uint64_t)n[0] + n[1] + n[2] != f->h.len - sizeof n)) {
    fault_send_text(c, f->h.id, KIND_INVALID, "", "malformed call");
    return;
  }
  const char *target = f->data + sizeof n, *a = target + n[0], *k = a + n[1];
  loop_begin(c, f->h.id);
  PyObject *fn = find_target(c, target, n[0]);
  PyObject *args = fn ? call_args(f, a, n[1]) : NULL;
  PyObject *kwargs = args ? call_kwargs(k, n[2]) : NULL;
  PyObject *result = kwargs ? PyObject_Call(fn, args, kwargs) : NULL;
  if (kwargs) Py_DecRef(kwargs);
  if (args) Py_DecRef(args);
  if (fn) Py_DecRef(fn);
  loop_answer(c, f->h.id, result, rules_message_max(c));
}

// What the guest left behind runs its last code here, where an injection meets
// every bytecode of it, and not inside the interpreter's end.
void loop_finish(cell *c) {
  loop_inject(c);
  PyObject *atexit = PyDict_GetItemString(PyImport_GetModuleDict(), "atexit");
  if (atexit) Py_IncRef(atexit); // it may be the guest's, and go when it is asked
  PyObject *clear = atexit ? PyObject_GetAttrString(atexit, "_clear") : NULL;
  PyObject *done = clear ? PyObject_CallNoArgs(clear) : NULL;
  if (done) Py_DecRef(done);
  if (clear) Py_DecRef(clear);
  if (atexit) Py_DecRef(atexit);
  PyErr_Clear();
  PyDict_Clear(c->main_dict);
  PyGC_Collect();
  PyErr_Clear();
}

// Runs a program of no effect, as an operation would. In a forked child it makes
// the pages that every program writes to its own, before anybody waits. It does
// little on purpose: an idle cell keeps what is touched here.
void loop_warm(cell *c) {
  static const char program[] = "x = [1]\n";
  PyObject *scope = PyDict_New(), *code = Py_CompileString(program, "<warm>", Py_file_input), *result = NULL;
  PyObject *builtins = PyDict_GetItemString(PyImport_GetModuleDict(), "builtins");
  if (scope && code && builtins && !PyDict_SetItemString(scope, "__builtins__", builtins))
    result = PyEval_EvalCode(code, scope, scope);
  PyObject *done = support_call(c, SUPPORT_GUEST, "_finish", NULL, NULL, NULL);
  if (done) Py_DecRef(done);
  if (result) Py_DecRef(result);
  if (code) Py_DecRef(code);
  if (scope) Py_DecRef(scope);
  PyErr_Clear();
}

// An idle cell's first long enough wait, before the claim and after it, is when it tidies up
// after its start.
#define REST_AFTER 3000000

static void rest(cell *c) {
  if (!c->rest || wire_await(c, REST_AFTER) || atomic_load(&c->dying)) return;
  c->rest(c);
}

void loop_run(cell *c) {
  wire_send(c, OUT_READY, 0, 0, NULL, 0);
  frame f;
  while (!atomic_load(&c->dying)) {
    atomic_store(&c->hdr->state, RING_IDLE);
    rest(c); // comes back here when it is not asked for anything
    if (!wire_receive(c, &f)) continue;
    // Without a policy there is no gate: whatever the host's order, no guest runs.
    bool early = !c->claimed && f.h.kind != IN_CLAIM;
    if (early) fault_send_text(c, f.h.id, KIND_INVALID, "", "nothing runs before the claim");
    else switch (f.h.kind) {
    case IN_CLAIM: do_claim(c, &f); break;
    case IN_EXEC: do_exec(c, &f); break;
    case IN_CALL: do_call(c, &f); break;
    case IN_SAVE:
    case IN_RESTORE: state_run(c, &f); break;
    default: fault_send_text(c, f.h.id, KIND_INVALID, "", "unknown frame");
    }
    free(f.data);
    PyErr_Clear();
  }
  wire_drop(c);
}
