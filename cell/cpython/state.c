// The guest's state out of a cell and into one: save.py and load.py do it, on a stack of its
// own, and this moves what they read and write. Code objects travel apart from the pickle, so
// that nothing a guest's pickling can say makes code: a state has the code that a cell had.
#define _GNU_SOURCE
#include "cell.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define CHUNK (256 << 10)
#define MAX_CODE (64 << 20) // bytes of one code object
// A pickler follows objects on the stack: 0.8 KiB for a list in another, 1.5 for an instance. It
// has to fit into what a process may have beside the guest's memory, which is 64 MiB.
#define DEEP (48 << 20)
#define SHALLOW (3 << 20)

// Exists while a state moves.
struct state_move {
  bool saving;
  bool reading; // unmarshals code, of which the guest's audit hooks are told
  char *data; // what is written and not yet sent
  size_t n;
  PyObject *codes; // list of those that were read
  PyObject *simple; // of a save, classes
  Py_ssize_t saved;
  char *bundle; // chunks that came together, of which those before `at` were read
  size_t at, end;
};

static PyObject *none(void) {
  Py_IncRef(Py_None);
  return Py_None;
}

// The state that moves, for the thread that moves it: others of the guest's would find it gone.
static state_move *moving(bool saving) {
  cell *c = cell_current();
  state_move *m = pthread_self() == c->thread ? c->moving : NULL;
  if (m && m->saving == saving && !m->reading) return m;
  PyErr_SetString(PyExc_RuntimeError, "no state is moved now");
  return NULL;
}

bool state_busy(const cell *c) {
  if (!c->moving) return false;
  PyErr_SetString(PyExc_RuntimeError, c->moving->saving ? "not while the state is taken out of the cell"
                                                        : "not while the state is put into the cell: do it in __restore__");
  return true;
}

PyObject **state_simple(void) {
  state_move *m = moving(true);
  return m ? &m->simple : NULL;
}

static void end_move(cell *c) {
  state_move *m = c->moving;
  c->moving = NULL;
  if (!m) return;
  if (m->codes) Py_DecRef(m->codes);
  if (m->simple) Py_DecRef(m->simple);
  free(m->bundle);
  free(m->data);
  free(m);
}

// ---- out ---------------------------------------------------------------------------------------

static bool send(cell *c, uint8_t flags, const char *p, size_t n) {
  // Nothing else looks at interrupts while the pickler is at work.
  if (!wire_interrupted(c) && wire_send(c, OUT_CHUNK, flags, atomic_load(&c->op), &(part){p, n}, 1)) return true;
  if (!PyErr_Occurred()) PyErr_SetNone(c->interrupt);
  return false;
}

static bool flush(cell *c) {
  state_move *m = c->moving;
  size_t n = m->n;
  m->n = 0;
  return !n || send(c, 0, m->data, n);
}

PyObject *state_write(PyObject *self, PyObject *data) {
  (void)self;
  cell *c = cell_current();
  state_move *m = moving(true);
  PyObject *bytes = m ? PyBytes_FromObject(data) : NULL; // the same, if it is bytes
  char *p;
  Py_ssize_t n;
  bool ok = bytes && !PyBytes_AsStringAndSize(bytes, &p, &n);
  while (ok && n) {
    size_t step = CHUNK - m->n < (size_t)n ? CHUNK - m->n : (size_t)n;
    memcpy(m->data + m->n, p, step);
    m->n += step;
    p += step;
    n -= (Py_ssize_t)step;
    if (m->n == CHUNK) ok = flush(c);
  }
  if (bytes) Py_DecRef(bytes);
  return ok ? none() : NULL;
}

// Sends a code object before the data that needs it. Returns its number, or None for the
// library's own.
PyObject *state_save_code(PyObject *self, PyObject *code) {
  (void)self;
  cell *c = cell_current();
  state_move *m = moving(true);
  if (!m) return NULL;
  if (Py_TYPE(code) != PyCode_Type_) {
    PyErr_SetString(PyExc_TypeError, "not a code object");
    return NULL;
  }
  if (gate_trusted_code(code)) return none();
  PyObject *packed = PyMarshal_WriteObjectToString(code, 5);
  char *p;
  Py_ssize_t n;
  bool ok = packed && !PyBytes_AsStringAndSize(packed, &p, &n); // it may come before what was pickled before it
  while (ok) {
    size_t step = n < CHUNK ? (size_t)n : CHUNK;
    n -= (Py_ssize_t)step;
    ok = send(c, FLAG_CODE | (n ? FLAG_PART : 0), p, step);
    if (!n) break;
    p += step;
  }
  if (packed) Py_DecRef(packed);
  return ok ? PyLong_FromLong(m->saved++) : NULL;
}

// ---- in ----------------------------------------------------------------------------------------

// Library code is not carried, and nothing else may pass for it: the gate would trust it.
static bool harmless_code(PyObject *code, int depth) {
  if (gate_trusted_code(code) || depth > 100) return false;
  PyObject *consts = PyObject_GetAttrString(code, "co_consts");
  bool ok = consts;
  for (Py_ssize_t i = 0; ok && i < PyTuple_Size(consts); i++) {
    PyObject *item = PyTuple_GetItem(consts, i);
    if (Py_TYPE(item) == PyCode_Type_) ok = harmless_code(item, depth + 1);
  }
  if (consts) Py_DecRef(consts);
  return ok;
}

static bool take_code(state_move *m) {
  m->reading = true;
  PyObject *code = code_load(cell_current(), m->data, (Py_ssize_t)m->n);
  m->reading = false;
  bool ok = code && Py_TYPE(code) == PyCode_Type_ && harmless_code(code, 0) && !PyList_Append(m->codes, code);
  if (code) Py_DecRef(code);
  if (!ok && !PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "the state holds no code where it should");
  m->n = 0;
  return ok;
}

typedef struct {
  uint8_t flags;
  const char *p;
  size_t n;
} chunk;

// The next chunk of a bundle, each of which is a length in four bytes, the flags, and so much.
static bool unbundle(state_move *m, chunk *out) {
  size_t left = m->end - m->at;
  uint32_t n;
  const char *p = m->bundle + m->at;
  if (left >= sizeof n + 1) memcpy(&n, p, sizeof n);
  if (left < sizeof n + 1 || n > left - sizeof n - 1) {
    PyErr_SetString(PyExc_ValueError, "the state came in no order");
    return false;
  }
  *out = (chunk){.flags = (uint8_t)p[sizeof n], .p = p + sizeof n + 1, .n = n};
  m->at += sizeof n + 1 + n;
  return true;
}

// The next chunk. It stays until the one after it.
static bool next_chunk(cell *c, state_move *m, chunk *out) {
  frame f;
  if (m->at < m->end) return unbundle(m, out);
  if (!wire_ask(c, OUT_MORE, 0, NULL, 0, &f)) {
    if (!PyErr_Occurred()) PyErr_SetNone(c->interrupt);
    return false;
  }
  free(m->bundle);
  m->bundle = f.data;
  m->at = 0;
  m->end = f.h.flags & FLAG_RAW ? f.h.len : 0;
  if (m->end) return unbundle(m, out);
  *out = (chunk){.flags = f.h.flags, .p = f.data, .n = f.h.len};
  return true;
}

// Keeps a piece of code, and takes it all when this was the last.
static bool add_code(state_move *m, const chunk *piece) {
  char *grown = m->n + piece->n <= MAX_CODE ? realloc(m->data, m->n + piece->n + 1) : NULL;
  if (!grown) {
    PyErr_NoMemory();
    return false;
  }
  m->data = grown;
  memcpy(grown + m->n, piece->p, piece->n);
  m->n += piece->n;
  return piece->flags & FLAG_PART || take_code(m);
}

// The next chunk that belongs to the pickle, or None behind the last.
PyObject *state_read(PyObject *self, PyObject *unused) {
  (void)self;
  (void)unused;
  cell *c = cell_current();
  state_move *m = moving(false);
  bool code = m;
  PyObject *data = NULL;
  while (code) {
    chunk next;
    if (!next_chunk(c, m, &next)) return NULL;
    code = next.flags & FLAG_CODE;
    if (next.flags & FLAG_NONE) data = none();
    else if (!code) data = PyBytes_FromStringAndSize(next.p, (Py_ssize_t)next.n);
    else code = add_code(m, &next);
  }
  return data;
}

PyObject *state_code(PyObject *self, PyObject *number) {
  (void)self;
  long i = PyLong_AsLong(number); // may run the guest's code, which can end the move
  state_move *m = i == -1 && PyErr_Occurred() ? NULL : moving(false);
  if (!m) return NULL;
  if (i >= 0 && i < PyList_Size(m->codes)) return PyList_GetItemRef(m->codes, i);
  PyErr_SetString(PyExc_ValueError, "the state names code that it does not hold");
  return NULL;
}

// Behind the stream's end the guest is whole, and may say and ask again.
PyObject *state_whole(PyObject *self, PyObject *unused) {
  (void)self;
  (void)unused;
  cell *c = cell_current();
  state_move *m = moving(false);
  if (!m) return NULL;
  end_move(c);
  return none();
}

// ---- the operations ----------------------------------------------------------------------------

static bool begin_move(cell *c, bool saving) {
  state_move *m = calloc(1, sizeof *m);
  if (!m) return false;
  m->saving = saving;
  if (saving) m->data = malloc(CHUNK);
  else m->codes = PyList_New(0);
  if (m->data || m->codes) {
    c->moving = m;
    return true;
  }
  free(m);
  return false;
}

static bool alone(cell *c) {
  int threads = children_alive(c);
  if (!threads) return true;
  PyObject *type = support_name(c, SUPPORT_ERRORS, "NotCheckpointable");
  if (type) {
    PyErr_Format(type, "threads: %d of the guest's run", threads);
    Py_DecRef(type);
  }
  return false;
}

static PyObject *save(cell *c) {
  static const support_part parts[] = {SUPPORT_LOAD, SUPPORT_NAMES, SUPPORT_SAVE};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (support_load(c, parts[i])) return NULL;
  if (!alone(c)) return NULL;
  PyObject *done = support_call(c, SUPPORT_SNAPSHOT, "_snapshot", NULL, NULL, NULL);
  if (done && alone(c) && flush(c)) return done; // what it called may have started one
  if (done) Py_DecRef(done);
  return NULL;
}

static PyObject *load(cell *c) { return support_call(c, SUPPORT_LOAD, "_load", NULL, NULL, NULL); }

// ---- a deeper stack ----------------------------------------------------------------------------

typedef struct {
  char *stack;
  size_t n;
  ucontext_t here, there;
  cell *c;
  PyObject *(*work)(cell *c);
  PyObject *result;
} deep_call;

static void deep_entry(unsigned high, unsigned low) {
  deep_call *d = (deep_call *)((uintptr_t)high << 32 | low);
  d->result = d->work(d->c);
}

static bool map_stack(deep_call *d) {
  for (d->n = DEEP; d->n >= SHALLOW; d->n /= 2) {
    void *p = (void *)syscall(SYS_mmap, NULL, d->n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    d->stack = p;
    if (p != MAP_FAILED) return true;
  }
  return false;
}

// Runs work on a stack that is deep enough for most states, which the thread's own is not. It
// is not charged to the guest; the kernel's bounds of its process hold.
static PyObject *call_deep(cell *c, PyObject *(*work)(cell *c)) {
  deep_call d = {.c = c, .work = work};
  if (!c->stack || !map_stack(&d)) return work(c); // there must be a way back
  if (!getcontext(&d.there)) {
    d.there.uc_stack.ss_sp = d.stack;
    d.there.uc_stack.ss_size = d.n;
    d.there.uc_link = &d.here;
    uintptr_t p = (uintptr_t)&d;
    makecontext(&d.there, (void (*)(void))deep_entry, 2, (unsigned)(p >> 32), (unsigned)p);
    PyUnstable_ThreadState_SetStackProtection(c->ts, d.stack, d.n);
    swapcontext(&d.here, &d.there);
    loop_stack_bounds(c);
  } else
    d.result = PyErr_NoMemory();
  syscall(SYS_munmap, d.stack, d.n);
  return d.result;
}

void state_run(cell *c, const frame *f) {
  bool saving = f->h.kind == IN_SAVE;
  loop_begin(c, f->h.id);
  int collects = PyGC_Disable(); // there is no garbage, and much to look through
  PyObject *result = begin_move(c, saving) ? call_deep(c, saving ? save : load) : PyErr_NoMemory();
  end_move(c);
  if (collects) PyGC_Enable();
  loop_answer(c, f->h.id, result, 4096);
}
