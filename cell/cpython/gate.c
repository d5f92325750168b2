// The import allow-list, below Python. Every way to a module
// ends at one check: builtins.__import__ (what is loaded already),
// _find_and_load (what is not, whoever asks), and the _imp functions that make
// builtin and native modules. Who asks is the innermost frame outside importlib.
#define _GNU_SOURCE
#include "cell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// No code in a cell gets these, the standard library's included: they reach
// other interpreters, raw memory, the process or files.
static const char *const never[] = {
    "_interpreters", "_interpchannels", "_interpqueues", "_ctypes", "_ctypes_test", "_testcapi", "_testlimitedcapi",
    "_testinternalcapi", "_testbuffer", "_testimportmultiple", "_testmultiphase", "_testsinglephase", "_testclinic",
    "_testclinic_limited", "_testexternalinspection", "_remote_debugging", "_xxtestfuzz", "xxsubtype", "xxlimited",
    "xxlimited_35", "faulthandler", "_posixshmem", "readline",
    // Their C libraries open files by themselves, which no audit event tells of.
    "pwd", "grp", "_dbm", "_gdbm", NULL};

// The standard library may load these for itself; a guest never names them.
static const char *const internal[] = {"posix", "_signal", "_imp", "marshal", "_thread", "_posixsubprocess",
                                       "_frozen_importlib", "_frozen_importlib_external", "ctypes", "_multiprocessing",
                                       "concurrent.interpreters", "_socket", "_io", NULL};

// C code of CPython imports these on a guest's behalf; none gives authority.
static const char *const implicit[] = {"_strptime", "_datetime", "datetime", "_pydatetime", "warnings", "_warnings", "copyreg", "annotationlib",
                                       "typing", "traceback", "linecache", "functools", "_collections_abc",
                                       "collections.abc", "collections", "enum", "numbers", "re", "io", "_io", "ast", "time",
                                       "string.templatelib", "encodings", "_compat_pickle", "codecs", "operator",
                                       "locale", "_locale", "json", "decimal", "_pydecimal", "threading", "tokenize",
                                       "_tokenize", "abc", "weakref", "types", "reprlib", "contextlib",
                                       "importlib.readers", "importlib.resources.readers", "unicodedata", "_math_integer", NULL};

static bool listed(const char *const *list, const char *name) {
  for (; *list; list++)
    if (!strcmp(*list, name)) return true;
  return false;
}

static bool granted(const cell *c, const char *name) {
  static const char *const always[] = {"pyisolate_guest", "builtins", "__future__", "__main__", NULL};
  return listed(always, name) || rules_import(c, name);
}

// ---- who asks ------------------------------------------------------------------------------

static bool trusted_name(PyObject *file, bool *importlib) {
  Py_ssize_t n = 0;
  const char *p = PyUnicode_AsUTF8AndSize(file, &n);
  bool frozen = p && n >= 7 && !memcmp(p, "<frozen", 7);
  bool trusted = p && (frozen || policy_in_stdlib(p, (size_t)n) || !strcmp(p, "<pyisolate>"));
  *importlib = trusted && (strstr(p, "/importlib/") || (frozen && strstr(p, " importlib")));
  if (!p) PyErr_Clear();
  return trusted;
}

static bool trusted_file(PyObject *code, bool *importlib) {
  *importlib = false;
  PyObject *file = PyObject_GetAttrString(code, "co_filename");
  bool trusted = file && trusted_name(file, importlib);
  if (file) Py_DecRef(file);
  else PyErr_Clear();
  return trusted;
}

bool gate_trusted_name(PyObject *file) {
  bool importlib;
  return trusted_name(file, &importlib);
}

bool gate_trusted_code(PyObject *code) {
  bool importlib;
  return trusted_file(code, &importlib);
}

bool gate_trusted_frame(void) {
  PyFrameObject *f = PyEval_GetFrame(); // borrowed
  if (!f) return false;                 // a thread may begin in C, with what the guest gives it
  PyObject *code = PyFrame_GetCode(f);
  bool importlib, yes = trusted_file(code, &importlib);
  Py_DecRef(code);
  return yes;
}

// `import name.x` says `import name` too.
static bool says(PyObject *item, const char *name) {
  if (!PyUnicode_CompareWithASCIIString(item, name)) return true;
  size_t n = strlen(name);
  const char *p = PyUnicode_AsUTF8AndSize(item, NULL);
  if (!p) PyErr_Clear();
  return p && !strncmp(p, name, n) && p[n] == '.';
}

// Does the code's own text say `import name`? Then it is not a deputy that
// imports what somebody hands it.
static bool names(PyObject *code, const char *name) {
  PyObject *tuple = PyObject_GetAttrString(code, "co_names");
  const char *dot = strrchr(name, '.');
  bool found = false;
  for (Py_ssize_t i = 0; tuple && !found && i < PyTuple_Size(tuple); i++) {
    PyObject *item = PyTuple_GetItem(tuple, i);
    found = says(item, name) || (dot && !PyUnicode_CompareWithASCIIString(item, dot + 1));
  }
  if (tuple) Py_DecRef(tuple);
  return found;
}

// Is the innermost frame outside importlib's own helpers, in library code that itself
// names what it does? A library function that merely iterates, or calls what it is
// given, is a deputy: what happens is the guest's doing.
bool gate_library_names(const char *name) {
  PyFrameObject *f = PyEval_GetFrame();
  if (!f) return false;
  Py_IncRef((PyObject *)f);
  bool yes = false;
  for (int depth = 0; f && depth < 8; depth++) {
    PyObject *code = PyFrame_GetCode(f);
    bool importlib, trusted = trusted_file(code, &importlib);
    yes = trusted && names(code, name);
    Py_DecRef(code);
    if (yes || !importlib) break;
    PyFrameObject *back = PyFrame_GetBack(f);
    Py_DecRef((PyObject *)f);
    f = back;
  }
  if (f) Py_DecRef((PyObject *)f);
  return yes;
}

typedef enum { GUEST, LIBRARY, DEPUTY } asker;

static asker who(const char *name) {
  PyFrameObject *f = PyEval_GetFrame();
  if (!f) return GUEST;
  Py_IncRef((PyObject *)f);
  asker found = GUEST;
  for (int depth = 0; f && depth < 64; depth++) {
    PyObject *code = PyFrame_GetCode(f);
    bool importlib, trusted = trusted_file(code, &importlib);
    bool named = trusted && names(code, name);
    Py_DecRef(code);
    if (named || !importlib) {
      found = !trusted ? GUEST : named ? LIBRARY : DEPUTY;
      break;
    }
    PyFrameObject *back = PyFrame_GetBack(f);
    Py_DecRef((PyObject *)f);
    f = back;
  }
  if (f) Py_DecRef((PyObject *)f);
  return found;
}

// Encodings are data: whoever decodes text needs them.
static bool harmless(const char *name) { return !strncmp(name, "encodings.", 10) || listed(implicit, name); }

int gate_check_import(cell *c, const char *name) {
  if (!c->claimed) return 0;
  asker a = who(name);
  if (listed(never, name)) {
    if (a != LIBRARY) return policy_deny(c, "import", name);
    PyErr_Format(PyExc_ImportError, "%s does not exist in a cell", name); // it has a fallback, or nobody can use it
    return -1;
  }
  if (a == LIBRARY) return 0;
  if (granted(c, name) && !listed(internal, name)) return 0;
  if (harmless(name) && (c->implicit || a == DEPUTY)) return 0;
  return policy_deny(c, "import", name);
}

bool gate_reserved(const char *name) { return listed(never, name) || listed(internal, name); }

bool gate_grants_guest(const cell *c, const char *name) {
  return !gate_reserved(name) && granted(c, name);
}

// What the calling thread is about to load, since the gate has let it; NULL if nothing.
static _Thread_local const char *importing;

// Loaders execute modules of the library's for whoever asks them. So their code is there for the
// import that was judged, and else for whom the module is granted to.
int gate_check_module(cell *c, const char *name) {
  return importing && !strcmp(importing, name) ? 0 : gate_check_guest(c, name);
}

int gate_check_guest(cell *c, const char *name) { return gate_grants_guest(c, name) ? 0 : policy_deny(c, "import", name); }

// ---- the wrapped functions -------------------------------------------------------------------

const char *gate_text(PyObject *o) {
  if (!o || !(PyType_GetFlags(Py_TYPE(o)) & TPFLAGS_UNICODE)) return NULL;
  const char *p = PyUnicode_AsUTF8AndSize(o, NULL);
  if (!p) PyErr_Clear();
  return p;
}

// CPython's own C code asks for modules with the one-element fromlist ['__doc__'].
static bool from_c(PyObject *fromlist, const char *name) {
  if (!fromlist || !(PyType_GetFlags(Py_TYPE(fromlist)) & TPFLAGS_LIST) || PyList_Size(fromlist) > 1) return false;
  return harmless(name);
}

PyObject *gate_argument(PyObject *args, PyObject *kwargs, Py_ssize_t i, const char *key) {
  if (i < PyTuple_Size(args)) return PyTuple_GetItem(args, i);
  return kwargs ? PyDict_GetItemString(kwargs, key) : NULL;
}

// At the very end of an interpreter what is wrapped is gone already.
PyObject *gate_call(PyObject *real, PyObject *args, PyObject *kwargs) {
  if (real) return PyObject_Call(real, args, kwargs);
  PyErr_SetString(PyExc_RuntimeError, "the interpreter ends");
  return NULL;
}

// Of a module that may be anything: the guest's finders make some.
static void wrap_code_of(cell *c, const char *name, PyObject *module) {
  PyObject *dict = PyObject_GetAttrString(module, "__dict__");
  if (dict && (PyType_GetFlags(Py_TYPE(dict)) & TPFLAGS_DICT)) code_wrap(c, name, dict);
  if (dict) Py_DecRef(dict);
  PyErr_Clear();
}

// What derives from str may be equal to another name than its text, which is what is judged.
static bool is_plain(cell *c, PyObject *name) {
  if (!c || !c->claimed || !name || Py_TYPE(name) == PyUnicode_Type_ || !(PyType_GetFlags(Py_TYPE(name)) & TPFLAGS_UNICODE))
    return true;
  return !policy_deny(c, "import", "a name of a class derived from str");
}

static PyObject *gate_import(PyObject *self, PyObject *args, PyObject *kwargs) {
  (void)self;
  cell *c = cell_current();
  PyObject *given = gate_argument(args, kwargs, 0, "name"), *level = gate_argument(args, kwargs, 4, "level");
  if (!is_plain(c, given)) return NULL;
  const char *name = gate_text(given);
  if (c && c->claimed && name) {
    // What is no int says one thing here, and another where it is taken for one.
    bool relative = level && (Py_TYPE(level) != PyLong_Type_ || PyObject_IsTrue(level) == 1);
    if (relative) {
      // A package's own business; a guest has no package to be relative to.
      if (!gate_trusted_frame() && policy_deny(c, "import", "a relative import")) return NULL;
    } else if (from_c(gate_argument(args, kwargs, 3, "fromlist"), name)) {
      c->implicit++;
      PyObject *module = gate_call(c->real_import, args, kwargs);
      c->implicit--;
      return module;
    } else if (gate_check_import(c, name))
      return NULL;
  }
  return gate_call(c->real_import, args, kwargs);
}

static PyObject *gate_find_and_load(PyObject *self, PyObject *args) {
  (void)self;
  cell *c = cell_current();
  PyObject *given = gate_argument(args, NULL, 0, NULL);
  if (!is_plain(c, given)) return NULL;
  const char *name = gate_text(given);
  if (name && gate_check_import(c, name)) return NULL;
  const char *outer = importing;
  importing = name;
  PyObject *module = gate_call(c->real_find_and_load, args, NULL);
  importing = outer;
  if (module && name && !strcmp(name, "types")) wrap_code_of(c, name, module);
  return module;
}

// ---- installation ----------------------------------------------------------------------------

static PyMethodDef import_def = {"__import__", (PyCFunction)(void *)gate_import, METH_VARARGS | METH_KEYWORDS,
                                 "Imports a module that the policy of this cell allows."};
static PyMethodDef lazy_def = {"__lazy_import__", (PyCFunction)(void *)gate_import, METH_VARARGS | METH_KEYWORDS,
                               "Imports at once."};
static PyMethodDef find_def = {"_find_and_load", gate_find_and_load, METH_VARARGS, NULL};

int gate_wrap(PyObject *dict, PyMethodDef *def, PyObject **real) {
  PyObject *found = PyDict_GetItemString(dict, def->ml_name);
  if (found) Py_IncRef(found); // a guest's module may have anything there, which is asked now
  PyObject *module = found ? PyObject_GetAttrString(found, "__module__") : NULL; // what is kept in a state is found by it
  if (found && !module) PyErr_Clear();
  PyObject *f = found ? PyCFunction_NewEx(def, NULL, module) : NULL;
  if (module) Py_DecRef(module);
  // Or gc would hand it out. A built-in function may be untracked; others may not.
  if (f && Py_TYPE(found) == Py_TYPE(f)) PyObject_GC_UnTrack(found);
  int rc = f ? PyDict_SetItemString(dict, def->ml_name, f) : -1;
  if (f && !*real) *real = found;
  else if (found) Py_DecRef(found);
  if (f) Py_DecRef(f);
  return rc;
}

int gate_install(cell *c) {
  PyObject *modules = PyImport_GetModuleDict(), *name, *module;
  PyObject *builtins = PyDict_GetItemString(modules, "builtins");
  PyObject *imp = PyDict_GetItemString(modules, "_imp");
  PyObject *bootstrap = PyDict_GetItemString(modules, "_frozen_importlib");
  if (!builtins || !imp || !bootstrap) return -1;
  PyObject *b = PyModule_GetDict(builtins);
  // Since 3.15 an import may be put off, and what resolves it later asks nobody.
  if (PyDict_GetItemString(b, "__lazy_import__") && gate_wrap(b, &lazy_def, &c->real_lazy_import)) return -1;
  if (gate_wrap(b, &import_def, &c->real_import) ||
      gate_wrap(PyModule_GetDict(bootstrap), &find_def, &c->real_find_and_load) || modules_wrap(c, PyModule_GetDict(imp)))
    return -1;
  Py_ssize_t pos = 0;
  while (PyDict_Next(modules, &pos, &name, &module)) {
    const char *text = gate_text(name);
    if (!text) continue;
    PyObject *dict = PyObject_GetAttrString(module, "__dict__");
    int rc = 0;
    if (dict) {
      rc = removals_apply(text, dict) || code_wrap(c, text, dict) ? -1 : 0;
      Py_DecRef(dict);
    } else
      PyErr_Clear();
    if (rc) return -1;
  }
  return 0;
}
