// Plain data: containers, text, numbers and instances of simple classes that are each held once, by
// what they are in. A pickler need not remember them, which is most of what it does: nothing else can
// refer to them.
#define _GNU_SOURCE
#include "cell.h"

#include <stdlib.h>

#define DEPTH 200        // what is nested deeper is left to the pickler
#define WORTH 256        // objects: with fewer, the pickler is as fast
#define SHARE 4          // one in so many may be held elsewhere, too
#define PATIENCE 4096    // of those, before that is held against a value that goes on
#define LOOK (1u << 16)  // objects between two looks at interrupts
#define KINDS 64         // classes whose instances are looked into, or asked about at once
#define HEAP_TYPE (1ul << 9)

typedef struct {
  cell *c;
  PyObject **others; // what is in the data and is not plain, or has other holders: once each, borrowed
  uint32_t *index;   // places in others + 1, by address; 0: free
  size_t n, room;    // index has twice the room
  size_t plain, looked;
  PyObject *simple;       // what the move has of them
  PyObject *kinds[KINDS]; // other classes whose instances were met, borrowed
  size_t n_kinds;
} search;

// _weakref.getweakrefcount, not that which a guest may have put in its place.
static PyObject *(*weak_count)(PyObject *module, PyObject *o);

int plain_init(void) {
  PyObject *weakref = PyImport_ImportModule("_weakref");
  PyObject *count = weakref ? PyObject_GetAttrString(weakref, "getweakrefcount") : NULL;
  if (count) weak_count = PyCFunction_GetFunction(count);
  if (count) Py_DecRef(count);
  if (weakref) Py_DecRef(weakref);
  PyErr_Clear();
  return weak_count ? 0 : -1;
}

static size_t slot(const search *s, const PyObject *o) {
  size_t mask = 2 * s->room - 1;
  size_t i = (size_t)(((uintptr_t)o >> 4) * 0x9E3779B97F4A7C15u >> 20) & mask;
  while (s->index[i] && s->others[s->index[i] - 1] != o) i = (i + 1) & mask;
  return i;
}

static bool grow(search *s) {
  size_t room = s->room ? 2 * s->room : 64;
  PyObject **others = realloc(s->others, room * sizeof *others);
  if (others) s->others = others;
  uint32_t *index = others ? calloc(2 * room, sizeof *index) : NULL;
  if (!index) return false;
  free(s->index);
  s->index = index;
  s->room = room;
  for (size_t i = 0; i < s->n; i++) s->index[slot(s, s->others[i])] = (uint32_t)i + 1;
  return true;
}

// false: so many are not plain that it is not worth while, or there is no memory.
static bool other(search *s, PyObject *o) {
  if (s->n == s->room && !grow(s)) return false;
  size_t i = slot(s, o);
  if (s->index[i]) return true;
  s->others[s->n] = o;
  s->index[i] = (uint32_t)++s->n;
  return s->n < PATIENCE || s->n <= s->plain / SHARE;
}

static bool look(search *s, PyObject *o, int depth);

static bool look_in_dict(search *s, PyObject *dict, int depth) {
  PyObject *key, *value;
  Py_ssize_t at = 0;
  bool ok = true;
  s->plain++;
  while (ok && PyDict_Next(dict, &at, &key, &value)) ok = look(s, key, depth + 1) && look(s, value, depth + 1);
  return ok;
}

// The first two items of what a class's instances are reduced to, borrowed; NULL: it is not among the simple ones, a
// tuple of such pairs, of which the second is a tuple that begins with the class.
static PyObject *simple_class(PyObject *simple, PyObject *kind) {
  for (Py_ssize_t i = PyTuple_Size(simple); i--;) {
    PyObject *entry = PyTuple_GetItem(simple, i);
    if (PyTuple_GetItem(PyTuple_GetItem(entry, 1), 0) == kind) return entry;
  }
  return NULL;
}

static bool well_made(PyObject *simple) {
  bool ok = Py_TYPE(simple) == PyTuple_Type_ && PyTuple_Size(simple) <= KINDS;
  for (Py_ssize_t i = 0; ok && i < PyTuple_Size(simple); i++) {
    PyObject *entry = PyTuple_GetItem(simple, i);
    ok = Py_TYPE(entry) == PyTuple_Type_ && PyTuple_Size(entry) == 2;
    PyObject *arguments = ok ? PyTuple_GetItem(entry, 1) : NULL;
    ok = ok && Py_TYPE(arguments) == PyTuple_Type_ && PyTuple_Size(arguments) == 1;
  }
  return ok;
}

static bool is_simple(search *s, PyObject *kind) {
  if (simple_class(s->simple, kind)) return true;
  for (size_t i = 0; i < s->n_kinds; i++)
    if (s->kinds[i] == kind) return false;
  if (s->n_kinds < KINDS) s->kinds[s->n_kinds++] = kind;
  return false;
}

// The __dict__ of an instance of a simple class, if that has it for itself. A new reference, or NULL without an exception.
static PyObject *own_names(PyObject *o) {
  PyObject *names = PyObject_GenericGetDict(o, NULL);
  if (names && Py_TYPE(names) == PyDict_Type_ && Py_REFCNT(names) == 2) return names;
  if (names) Py_DecRef(names);
  PyErr_Clear();
  return NULL;
}

static bool held_weakly(PyObject *o) {
  PyObject *count = weak_count(NULL, o);
  bool held = !count || PyLong_AsLong(count);
  if (count) Py_DecRef(count);
  PyErr_Clear();
  return held;
}

static bool look_in_instance(search *s, PyObject *o, int depth) {
  PyObject *names = held_weakly(o) ? NULL : own_names(o);
  if (!names) return other(s, o);
  s->plain++;
  bool ok = other(s, Py_TYPE(o)) && look_in_dict(s, names, depth + 1);
  Py_DecRef(names);
  return ok;
}

// false: as for other, or the operation is interrupted. No code of the guest's runs in here, and so
// what is borrowed stays.
static bool look(search *s, PyObject *o, int depth) {
  PyObject *type = Py_TYPE(o);
  if (!(++s->looked % LOOK) && wire_interrupted(s->c)) return false;
  if (type == PyLong_Type_ || type == PyFloat_Type_ || type == PyBool_Type_ || o == Py_None) return true;
  if (depth > DEPTH || (depth && Py_REFCNT(o) != 1)) return other(s, o);
  if (type == PyDict_Type_) return look_in_dict(s, o, depth);
  bool list = type == PyList_Type_, tuple = type == PyTuple_Type_;
  if (!list && !tuple && type != PyUnicode_Type_ && type != PyBytes_Type_ && type != PyByteArray_Type_)
    // Sets can be held weakly, too.
    return PyType_GetFlags(type) & HEAP_TYPE && is_simple(s, type) ? look_in_instance(s, o, depth) : other(s, o);
  s->plain++;
  Py_ssize_t n = list ? PyList_Size(o) : tuple ? PyTuple_Size(o) : 0;
  bool ok = true;
  for (Py_ssize_t i = 0; ok && i < n; i++) ok = look(s, list ? PyList_GetItem(o, i) : PyTuple_GetItem(o, i), depth + 1);
  return ok;
}

static PyObject *tuple_of(PyObject *const *all, size_t n) {
  PyObject *tuple = PyTuple_New((Py_ssize_t)n);
  for (size_t i = 0; tuple && i < n; i++) {
    Py_IncRef(all[i]);
    PyTuple_SetItem(tuple, (Py_ssize_t)i, all[i]);
  }
  return tuple;
}

// (kinds, others, how many are plain); others is None where it is not worth while.
static PyObject *found(const search *s, bool worth) {
  PyObject *all[3] = {tuple_of(s->kinds, s->n_kinds), worth ? tuple_of(s->others, s->n) : Py_None,
                      PyLong_FromLong((long)s->plain)};
  if (!worth) Py_IncRef(Py_None);
  PyObject *result = all[0] && all[1] && all[2] ? tuple_of(all, 3) : NULL;
  for (size_t i = 0; i < 3; i++)
    if (all[i]) Py_DecRef(all[i]);
  return result;
}

// Its holders are the dict that it is in, and __main__'s if it has it under that name, and nobody else.
static PyObject *held_once(const cell *c, PyObject *names, PyObject *name) {
  PyObject *in_main = PyDict_GetItemWithError(c->main_dict, name); // first: a comparison may run the guest's code
  PyObject *value = PyErr_Occurred() ? NULL : PyDict_GetItemWithError(names, name);
  return value && Py_REFCNT(value) == 1 + (value == in_main) ? value : NULL;
}

PyObject *state_plain(PyObject *self, PyObject *args) {
  (void)self;
  PyObject **simple = state_simple();
  if (!simple) return NULL;
  PyObject *names = PyTuple_Size(args) == 3 ? PyTuple_GetItem(args, 0) : NULL;
  PyObject *given = names ? PyTuple_GetItem(args, 2) : NULL;
  if (!names || Py_TYPE(names) != PyDict_Type_ || !well_made(given)) {
    PyErr_SetString(PyExc_TypeError, "plain(names, name, simple): names is a dict, simple a tuple of a few classes");
    return NULL;
  }
  cell *c = cell_current();
  PyObject *value = held_once(c, names, PyTuple_GetItem(args, 1));
  if (PyErr_Occurred()) return NULL;
  Py_IncRef(given);
  PyObject *before = *simple;
  *simple = given;
  search s = {.c = c, .simple = given};
  bool worth = value && look(&s, value, 0) && s.plain >= WORTH && s.n <= s.plain / SHARE;
  PyObject *result = found(&s, worth);
  free(s.others);
  free(s.index);
  if (before) Py_DecRef(before); // last: what a guest has put into it may run code when it goes
  return result;
}

// The pickler's reducer_override: instances of simple classes here, what else there is by its method `reduce`.
static PyObject *reduce(PyObject *pickler, PyObject *o) {
  PyObject **simple = state_simple();
  if (!simple) return NULL;
  PyObject *entry = *simple ? simple_class(*simple, Py_TYPE(o)) : NULL;
  PyObject *names = entry ? own_names(o) : NULL;
  if (names) {
    PyObject *reduced = tuple_of((PyObject *[]){PyTuple_GetItem(entry, 0), PyTuple_GetItem(entry, 1), names}, 3);
    Py_DecRef(names);
    return reduced;
  }
  PyObject *method = PyObject_GetAttrString(pickler, "reduce");
  PyObject *reduced = method ? PyObject_CallOneArg(method, o) : NULL;
  if (method) Py_DecRef(method);
  return reduced;
}

PyObject *state_reducer(PyObject *self, PyObject *pickler) {
  (void)self;
  static PyMethodDef def = {"reducer_override", reduce, METH_O, NULL};
  return PyCFunction_NewEx(&def, pickler, NULL);
}
