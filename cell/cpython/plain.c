// Plain data: containers, text and numbers that are each held once, by what they are in. A pickler
// need not remember them, which is most of what it does: nothing else can refer to them.
#define _GNU_SOURCE
#include "cell.h"

#include <stdlib.h>

#define DEPTH 200        // what is nested deeper is left to the pickler
#define WORTH 256        // objects: with fewer, the pickler is as fast
#define SHARE 4          // one in so many may be held elsewhere, too
#define PATIENCE 4096    // of those, before that is held against a value that goes on
#define LOOK (1u << 16)  // objects between two looks at interrupts

typedef struct {
  cell *c;
  PyObject **others; // what is in the data and is not plain, or has other holders: once each, borrowed
  uint32_t *index;   // places in others + 1, by address; 0: free
  size_t n, room;    // index has twice the room
  size_t plain, looked;
} search;

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

// false: as for other, or the operation is interrupted. No code of the guest's runs in here, and so
// what is borrowed stays.
static bool look(search *s, PyObject *o, int depth) {
  PyObject *type = Py_TYPE(o);
  if (!(++s->looked % LOOK) && wire_interrupted(s->c)) return false;
  if (type == PyLong_Type_ || type == PyFloat_Type_ || type == PyBool_Type_ || o == Py_None) return true;
  bool text = type == PyUnicode_Type_ || type == PyBytes_Type_ || type == PyByteArray_Type_;
  bool list = type == PyList_Type_, tuple = type == PyTuple_Type_, dict = type == PyDict_Type_;
  // Sets can be held weakly, too, which their count does not tell.
  if (!(text || list || tuple || dict) || depth > DEPTH || (depth && Py_REFCNT(o) != 1)) return other(s, o);
  s->plain++;
  Py_ssize_t n = list ? PyList_Size(o) : tuple ? PyTuple_Size(o) : 0, at = 0;
  bool ok = true;
  for (Py_ssize_t i = 0; ok && i < n; i++) ok = look(s, list ? PyList_GetItem(o, i) : PyTuple_GetItem(o, i), depth + 1);
  PyObject *key, *value;
  while (ok && dict && PyDict_Next(o, &at, &key, &value)) ok = look(s, key, depth + 1) && look(s, value, depth + 1);
  return ok;
}

// (others, how many are plain), or None where it is not worth while.
static PyObject *found(const search *s) {
  PyObject *others = PyTuple_New((Py_ssize_t)s->n);
  PyObject *plain = others ? PyLong_FromLong((long)s->plain) : NULL;
  PyObject *both = plain ? PyTuple_New(2) : NULL;
  if (!both) {
    if (others) Py_DecRef(others);
    if (plain) Py_DecRef(plain);
    return NULL;
  }
  for (size_t i = 0; i < s->n; i++) {
    Py_IncRef(s->others[i]);
    PyTuple_SetItem(others, (Py_ssize_t)i, s->others[i]);
  }
  PyTuple_SetItem(both, 0, others);
  PyTuple_SetItem(both, 1, plain);
  return both;
}

// Its holders are the dict that it is in, and __main__'s if it has it under that name, and nobody else.
static PyObject *held_once(const cell *c, PyObject *names, PyObject *name) {
  PyObject *in_main = PyDict_GetItemWithError(c->main_dict, name); // first: a comparison may run the guest's code
  PyObject *value = PyErr_Occurred() ? NULL : PyDict_GetItemWithError(names, name);
  return value && Py_REFCNT(value) == 1 + (value == in_main) ? value : NULL;
}

PyObject *state_plain(PyObject *self, PyObject *args) {
  (void)self;
  cell *c = cell_current();
  PyObject *names = PyTuple_Size(args) == 2 ? PyTuple_GetItem(args, 0) : NULL;
  if (!names || Py_TYPE(names) != PyDict_Type_) {
    PyErr_SetString(PyExc_TypeError, "plain(names, name): names is a dict");
    return NULL;
  }
  PyObject *value = held_once(c, names, PyTuple_GetItem(args, 1));
  if (PyErr_Occurred()) return NULL;
  search s = {.c = c};
  bool worth = value && look(&s, value, 0) && s.plain >= WORTH && s.n <= s.plain / SHARE;
  PyObject *result = worth ? found(&s) : Py_None;
  if (!worth) Py_IncRef(Py_None);
  free(s.others);
  free(s.index);
  return result;
}
