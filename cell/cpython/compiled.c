// Compiled code that comes as bytes: crafted bytecode is a way out of Python. Of what
// unmarshals it, only importlib is to have any, for files of the standard library and for
// frozen modules. Who asks proves nothing: importlib's functions can be called with bytes
// of the guest's, and its globals replaced. So the bytes are looked at.
#define _GNU_SOURCE
#include "cell.h"

#include <stdio.h>
#include <string.h>

enum { PYC_HEADER = 16 };

// Are these bytes what a file holds from skip on?
bool compiled_same(const char *file, long skip, const char *text, size_t n) {
  FILE *f = fopen(file, "re");
  if (!f) return false;
  char buf[8192];
  size_t at = 0;
  bool same = !fseek(f, skip, SEEK_SET);
  for (size_t got; same && (got = fread(buf, 1, sizeof buf, f)); at += got) same = got <= n - at && !memcmp(buf, text + at, got);
  same = same && !ferror(f) && at == n;
  fclose(f);
  return same;
}

// importlib calls from a frame that says which file it has read.
static bool is_library(const char *text, size_t n) {
  PyFrameObject *f = PyEval_GetFrame();
  PyObject *path = f ? PyFrame_GetVarString(f, "bytecode_path") : NULL;
  bool yes = false;
  if (path && (PyType_GetFlags(Py_TYPE(path)) & TPFLAGS_UNICODE)) {
    Py_ssize_t len = 0;
    const char *file = PyUnicode_AsUTF8AndSize(path, &len);
    yes = file && strlen(file) == (size_t)len && policy_in_stdlib(file, (size_t)len) && compiled_same(file, PYC_HEADER, text, n);
  }
  if (path) Py_DecRef(path);
  PyErr_Clear();
  return yes;
}

// The permission is for the one event of this call. It is taken back before hooks of the
// guest's hear of the event.
static PyObject *permitted(cell *c, PyObject *real, PyObject *args, PyObject *kwargs) {
  c->unmarshals = true;
  PyObject *made = PyObject_Call(real, args, kwargs);
  c->unmarshals = false;
  return made;
}

bool compiled_permitted(cell *c) {
  bool yes = c->unmarshals;
  c->unmarshals = false;
  return yes || support_unmarshals();
}

// types.coroutine replaces flags of the code object `co`, and nothing else makes code. That
// it is what says so is not enough: what poses as a function can have it call another
// code object's replace.
bool compiled_flags_only(PyObject *args) {
  if (!gate_library_names("co_flags")) return false;
  PyFrameObject *f = PyEval_GetFrame();
  PyObject *own = f ? PyFrame_GetCode(f) : NULL, *co = f ? PyFrame_GetVarString(f, "co") : NULL;
  bool genuine = own && co && Py_TYPE(co) == Py_TYPE(own);
  PyObject *code = genuine ? PyObject_GetAttrString(co, "co_code") : NULL;
  char *old, *new;
  Py_ssize_t n, m;
  genuine = code && !PyBytes_AsStringAndSize(code, &old, &n) && !PyBytes_AsStringAndSize(PyTuple_GetItem(args, 0), &new, &m) &&
            n == m && !memcmp(old, new, (size_t)n);
  if (code) Py_DecRef(code);
  if (co) Py_DecRef(co);
  if (own) Py_DecRef(own);
  PyErr_Clear();
  return genuine;
}

// A copy is looked at and read: a buffer could change in between.
static PyObject *gate_loads(PyObject *self, PyObject *args, PyObject *kwargs) {
  (void)self;
  cell *c = cell_current();
  if (!c->claimed || PyTuple_Size(args) != 1) return PyObject_Call(c->real_loads, args, kwargs);
  PyObject *empty = PyBytes_FromStringAndSize("", 0), *copy = NULL, *made = NULL;
  if (empty) copy = PyObject_CallOneArg(Py_TYPE(empty), PyTuple_GetItem(args, 0));
  char *text;
  Py_ssize_t n;
  if (copy && !PyBytes_AsStringAndSize(copy, &text, &n)) {
    PyObject *mine = PyTuple_New(1);
    if (mine && !PyTuple_SetItem(mine, 0, copy)) {
      copy = NULL; // the tuple's now
      if (is_library(text, (size_t)n)) made = permitted(c, c->real_loads, mine, kwargs);
      else policy_deny(c, "code", "marshal.loads");
    }
    if (mine) Py_DecRef(mine);
  }
  if (copy) Py_DecRef(copy);
  if (empty) Py_DecRef(empty);
  return made;
}

// With a second argument it would unmarshal that.
static PyObject *gate_frozen(PyObject *self, PyObject *args) {
  (void)self;
  cell *c = cell_current();
  if (!c->claimed) return PyObject_Call(c->real_frozen, args, NULL);
  if (PyTuple_Size(args) == 1) return permitted(c, c->real_frozen, args, NULL);
  policy_deny(c, "code", "get_frozen_object of data");
  return NULL;
}

PyMethodDef compiled_loads_def = {"loads", (PyCFunction)(void *)gate_loads, METH_VARARGS | METH_KEYWORDS, NULL};
PyMethodDef compiled_frozen_def = {"get_frozen_object", gate_frozen, METH_VARARGS, NULL};
