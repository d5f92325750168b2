// How many threads a guest may have beside the cell's own. What counts is CPython's own list of them,
// and those that C libraries start: what _thread tells about their number a guest can replace, and tells of those
// that have begun to run.
#define _GNU_SOURCE
#include "cell.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>

// The caller holds the GIL: others come and go with it only.
int children_alive(const cell *c) {
  int n = -1; // the cell's own
  for (PyThreadState *ts = PyInterpreterState_ThreadHead(c->interp); ts; ts = PyThreadState_Next(ts)) n++;
  return n;
}

static int most_children(const cell *c) {
  uint32_t most = rules_children(c);
  return most < RING_THREADS ? (int)most : RING_THREADS;
}

// Between the event and the new thread's state no code of the guest's runs but its own audit hooks,
// which may start others: those that are being started around this one count, too.
int children_check(cell *c) {
  // CPython starts it all the same, and then frees the interpreter that it waits for.
  if (atomic_load(&c->ending)) {
    PyErr_SetString(PyExc_RuntimeError, "no thread begins while the interpreter ends");
    return -1;
  }
  int most = most_children(c), others = (c->begun ? c->begun - 1 : 0) + atomic_load(&c->foreign);
  if (children_alive(c) + others < most) return 0;
  PyObject *type = support_name(c, SUPPORT_ERRORS, "ChildWorkExceeded");
  if (c->hdr) atomic_fetch_add_explicit(&c->hdr->denials, 1, memory_order_relaxed);
  if (type) {
    PyErr_Format(type, "a thread beyond the limit of %d", most);
    Py_DecRef(type);
  }
  return -1;
}

static __thread int beginning; // as c->begun, of the calling thread alone

static PyObject *begin(cell *c, PyObject *real, PyObject *args, PyObject *kwargs) {
  c->begun++;
  beginning++;
  PyObject *result = gate_call(real, args, kwargs);
  beginning--;
  c->begun--;
  return result;
}

static PyObject *start_new(PyObject *self, PyObject *args) {
  (void)self;
  cell *c = cell_current();
  return begin(c, c->real_start_new, args, NULL);
}

static PyObject *start_joinable(PyObject *self, PyObject *args, PyObject *kwargs) {
  (void)self;
  cell *c = cell_current();
  return begin(c, c->real_start_joinable, args, kwargs);
}

// What a thread has without asking. Its stack counts to no limit, and stays touched as deep as it once was.
#define STACK_MOST (8 << 20)

static PyObject *stack_size(PyObject *self, PyObject *args) {
  (void)self;
  cell *c = cell_current();
  PyObject *given = PyTuple_Size(args) > 0 ? PyTuple_GetItem(args, 0) : NULL, *one = NULL, *result = NULL;
  if (!given || PyTuple_Size(args) > 1) return gate_call(c->real_stack_size, args, NULL);
  long n = PyLong_AsLong(given);
  if (n == -1 && PyErr_Occurred()) return NULL;
  PyObject *size = n <= STACK_MOST ? PyLong_FromLong(n) : NULL; // what is judged, however often the guest's is asked
  if (n > STACK_MOST)
    PyErr_Format(PyExc_ValueError, "size not valid: %zd bytes; a cell's threads have %d at most", (Py_ssize_t)n, STACK_MOST);
  if (size && (one = PyTuple_New(1))) PyTuple_SetItem(one, 0, size); // takes it
  else if (size) Py_DecRef(size);
  if (one) result = gate_call(c->real_stack_size, one, NULL);
  if (one) Py_DecRef(one);
  return result;
}

// Two names of the same.
static PyMethodDef start_new_def = {"start_new_thread", start_new, METH_VARARGS, "Start a new thread and return its identifier."};
static PyMethodDef older_def = {"start_new", start_new, METH_VARARGS, "An obsolete synonym of start_new_thread()."};
static PyMethodDef start_joinable_def = {"start_joinable_thread", (PyCFunction)(void *)start_joinable, METH_VARARGS | METH_KEYWORDS,
                                         "Start a new thread, and return its handle. For internal use by threading."};
static PyMethodDef stack_size_def = {"stack_size", stack_size, METH_VARARGS,
                                     "Return the thread stack size used when creating new threads, and set it if one is given."};

int children_wrap(cell *c, PyObject *thread) {
  return gate_wrap(thread, &start_new_def, &c->real_start_new) || gate_wrap(thread, &older_def, &c->real_start_new) ||
         gate_wrap(thread, &start_joinable_def, &c->real_start_joinable) ||
         gate_wrap(thread, &stack_size_def, &c->real_stack_size) ? -1 : 0;
}

// ---- threads as the kernel has them ------------------------------------------------------------------

typedef enum { UNCOUNTED, PYTHONS, FOREIGN } thread_kind;
typedef struct { void *(*start)(void *); void *arg; uintptr_t serial; thread_kind kind; } birth;

static __thread thread_kind own_kind;

// One of Python's has been judged, but an audit hook of the guest's may call a library before it begins; and those that
// have ended for Python take a little longer to go.
static bool count(cell *c, thread_kind kind) {
  int most = kind == PYTHONS ? 2 * most_children(c) + 16 : most_children(c);
  bool fits = atomic_fetch_add(&c->threads, 1) < most;
  if (fits && memory_map_stack()) {
    if (kind == FOREIGN) atomic_fetch_add(&c->foreign, 1);
    return true;
  }
  atomic_fetch_sub(&c->threads, 1);
  return false;
}

static void uncount(cell *c, thread_kind kind) {
  memory_unmap_stack();
  if (!c) return;
  if (kind == FOREIGN) atomic_fetch_sub(&c->foreign, 1);
  atomic_fetch_sub(&c->threads, 1);
}

void children_ended(cell *c) {
  if (own_kind != UNCOUNTED) uncount(c, own_kind);
  own_kind = UNCOUNTED;
}

static void *live(void *born) {
  birth b = *(birth *)born;
  free(born);
  own_kind = b.kind;
  cell_join(b.serial);
  return b.start(b.arg);
}

// Called by libpython and the C libraries in it, as mmap is. Zstandard and SQLite start threads of their own when a guest
// asks for it, and do with fewer, or fail, when they get none.
__attribute__((visibility("default"))) int pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*start)(void *), void *arg) {
  static int (*_Atomic real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  if (!real) real = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(RTLD_NEXT, "pthread_create");
  cell *c = cell_current();
  if (!c || !c->claimed) return real(t, attr, start, arg);
  birth *born = malloc(sizeof *born);
  thread_kind kind = beginning ? PYTHONS : FOREIGN;
  if (!born || !count(c, kind)) {
    free(born);
    return EAGAIN;
  }
  *born = (birth){start, arg, c->serial, kind};
  int rc = real(t, attr, live, born);
  if (!rc) return 0;
  uncount(c, kind);
  free(born);
  return rc;
}
