// The functions of _imp that make built-in and native modules, which is what every import of one
// ends at. A module has no functions before it is made: what no guest may have is taken from it here.
#define _GNU_SOURCE
#include "cell.h"

#include <string.h>

// What CPython makes once, before there are guests. A second one would have functions that
// nothing wraps.
static bool made_once(const char *name) { return !strcmp(name, "sys") || !strcmp(name, "builtins") || !strcmp(name, "_imp"); }

// CPython finds a native module's function by the part of the name behind the last dot. Nothing
// of the library's is both in a package and called like what is reserved.
static const char *last_part(const char *name) {
  const char *dot = strrchr(name, '.');
  return dot ? dot + 1 : name;
}

static int check_create(cell *c, const char *name) {
  const char *last = last_part(name);
  bool reserved = made_once(last) || (last != name && gate_reserved(last));
  if (c->claimed && reserved) return policy_deny(c, "import", name);
  return gate_check_import(c, name);
}

// A spec that says what was judged, however often it is asked. NULL with an exception.
static PyObject *plain_spec(cell *c, const char *name, PyObject *origin) {
  PyObject *plain = PyObject_CallNoArgs(c->namespace), *text = PyUnicode_DecodeUTF8(name, (Py_ssize_t)strlen(name), NULL);
  bool ok = plain && text && !PyObject_SetAttrString(plain, "name", text) && !PyObject_SetAttrString(plain, "origin", origin);
  if (text) Py_DecRef(text);
  if (ok) return plain;
  if (plain) Py_DecRef(plain);
  return NULL;
}

// Calls real with one argument, which it takes over in any case.
static PyObject *call_with(PyObject *real, PyObject *argument) {
  PyObject *args = PyTuple_New(1), *result = NULL;
  if (!args) Py_DecRef(argument);
  else if (!PyTuple_SetItem(args, 0, argument)) result = gate_call(real, args, NULL);
  if (args) Py_DecRef(args);
  return result;
}

// Takes from a module what no guest may have, by the last part of its name; and all that it has, when that fails: who
// executes a module has it already. 0, or -1 with an exception.
static int strip(cell *c, const char *name, PyObject *dict, bool created) {
  if (!removals_apply(last_part(name), dict) && !(created && code_wrap(c, name, dict))) return 0;
  PyErr_Clear();
  PyDict_Clear(dict);
  PyErr_NoMemory();
  return -1;
}

static PyObject *create_as(cell *c, PyObject *real, const char *name, PyObject *origin) {
  PyObject *plain = plain_spec(c, name, origin), *module = plain ? call_with(real, plain) : NULL;
  // A module's functions are there from now on, whether anybody executes it or not.
  PyObject *dict = module && module != Py_None ? PyModule_GetDict(module) : NULL;
  if (dict && strip(c, name, dict, true)) {
    Py_DecRef(module);
    return NULL;
  }
  if (module) PyErr_Clear();
  return module;
}

// create_builtin and create_dynamic take a spec whose name is the module's, and its origin the file.
static PyObject *create(PyObject *real, PyObject *args, bool native) {
  cell *c = cell_current();
  PyObject *spec = gate_argument(args, NULL, 0, NULL), *name = spec ? PyObject_GetAttrString(spec, "name") : NULL;
  PyObject *origin = name && native ? PyObject_GetAttrString(spec, "origin") : Py_None;
  const char *text = gate_text(name), *file = native ? gate_text(origin) : "";
  PyObject *module = NULL;
  if (PyErr_Occurred()) module = NULL;
  else if (!text || !file) PyErr_SetString(PyExc_TypeError, "a spec is needed whose name, and origin, is text");
  else if (native && c->claimed && !policy_in_stdlib(file, strlen(file))) policy_deny(c, "import", file);
  else if (!check_create(c, text)) module = create_as(c, real, text, origin);
  if (origin && native) Py_DecRef(origin);
  if (name) Py_DecRef(name);
  return module;
}

static PyObject *create_builtin(PyObject *self, PyObject *args) {
  (void)self;
  return create(cell_current()->real_create_builtin, args, false);
}

static PyObject *create_dynamic(PyObject *self, PyObject *args) {
  (void)self;
  return create(cell_current()->real_create_dynamic, args, true);
}

// Multi-phase modules have no contents before they are executed: patch after it.
// Which ones are built in and which are files is each build's own choice. CPython takes what is
// no module for done.
static PyObject *execute(PyObject *real, PyObject *module) {
  cell *c = cell_current();
  Py_IncRef(module);
  PyObject *done = call_with(real, module);
  PyObject *name = done ? PyObject_GetAttrString(module, "__name__") : NULL;
  const char *text = gate_text(name);
  PyObject *dict = text ? PyModule_GetDict(module) : NULL;
  if (text && !strcmp(text, "gc")) memory_grows(c); // who asks shall find it at work
  if (dict && strip(c, text, dict, false)) {
    Py_DecRef(done);
    done = NULL;
  }
  if (name) Py_DecRef(name);
  if (done && PyErr_Occurred()) PyErr_Clear();
  return done;
}

static PyObject *exec_builtin(PyObject *self, PyObject *module) {
  (void)self;
  return execute(cell_current()->real_exec_builtin, module);
}

static PyObject *exec_dynamic(PyObject *self, PyObject *module) {
  (void)self;
  return execute(cell_current()->real_exec_dynamic, module);
}

static PyObject *make_builtin(cell *c, const char *name) {
  PyObject *module = create_as(c, c->real_create_builtin, name, Py_None), *done = NULL;
  if (module && module != Py_None) done = execute(c->real_exec_builtin, module);
  if (module && module != Py_None && !done) {
    Py_DecRef(module);
    module = NULL;
  }
  if (done) Py_DecRef(done);
  return module;
}

// A _pickle that is nobody else's, which meets what is lent to it, by name, in place of modules that are not there:
// those need the import system, and most of the time that a small state takes. None where it is not built in. It runs
// no Python code, so no interrupt ends it and leaves what is lent.
PyObject *modules_pickle(PyObject *self, PyObject *lent) {
  (void)self;
  cell *c = cell_current();
  static const char *const needs[] = {"copyreg", "functools", "codecs", "_compat_pickle"};
  enum { NEEDS = sizeof needs / sizeof *needs };
  if (gate_check_import(c, "_pickle")) return NULL;
  PyObject *modules = PyImport_GetModuleDict(), *stand_in;
  bool put[NEEDS] = {false}, ok = true;
  for (int i = 0; ok && i < NEEDS; i++)
    if (!PyDict_GetItemString(modules, needs[i]) && (stand_in = PyDict_GetItemString(lent, needs[i])))
      ok = put[i] = !PyDict_SetItemString(modules, needs[i], stand_in);
  PyObject *module = ok ? make_builtin(c, "_pickle") : NULL;
  for (int i = 0; i < NEEDS; i++)
    if (put[i] && PyDict_DelItemString(modules, needs[i]) && module) PyErr_Clear();
  return module;
}

static PyMethodDef builtin_def = {"create_builtin", create_builtin, METH_VARARGS, NULL};
static PyMethodDef dynamic_def = {"create_dynamic", create_dynamic, METH_VARARGS, NULL};
static PyMethodDef exec_def = {"exec_builtin", exec_builtin, METH_O, NULL};
static PyMethodDef exec_dynamic_def = {"exec_dynamic", exec_dynamic, METH_O, NULL};

int modules_wrap(cell *c, PyObject *imp) {
  PyObject *implementation = PySys_GetObject("implementation"); // a SimpleNamespace, until there are guests
  if (!implementation) return -1;
  c->namespace = Py_TYPE(implementation);
  if (gate_wrap(imp, &builtin_def, &c->real_create_builtin) || gate_wrap(imp, &exec_def, &c->real_exec_builtin)) return -1;
  if (!PyDict_GetItemString(imp, "create_dynamic")) return 0;
  return gate_wrap(imp, &dynamic_def, &c->real_create_dynamic) || gate_wrap(imp, &exec_dynamic_def, &c->real_exec_dynamic) ? -1 : 0;
}
