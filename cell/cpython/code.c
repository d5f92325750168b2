// Code that no compiler has just made, and the names code goes by. The gate trusts code by its
// file's name. So no name of the library's is given to anything but what that file says; and who
// asks for code says nothing, as library code can be made to ask with what a guest gives it.
#define _GNU_SOURCE
#include "cell.h"
#include "frozen.h"
#include "policy.h"

#include <stdio.h>
#include <string.h>

// Is content what the file of the standard library says, behind its first bytes? So a library
// without compiled files may be imported, and nothing else pass for it.
static bool is_content_of(PyObject *content, const char *file, long skip) {
  if (!content || !(PyType_GetFlags(Py_TYPE(content)) & TPFLAGS_BYTES)) return false;
  char *text;
  Py_ssize_t n, at = 0;
  if (PyBytes_AsStringAndSize(content, &text, &n)) return false;
  FILE *f = fopen(file, "re");
  if (!f) return false;
  char buf[8192];
  bool same = !fseek(f, skip, SEEK_SET);
  for (size_t got; same && (got = fread(buf, 1, sizeof buf, f)); at += (Py_ssize_t)got)
    same = (Py_ssize_t)got <= n - at && !memcmp(buf, text + at, got);
  same = same && !ferror(f) && at == n;
  fclose(f);
  return same;
}

int code_check_compile(cell *c, const rule *r, PyObject *args) {
  size_t n = 0;
  const char *file = policy_path(args, 1, &n);
  if (!file) return 0;
  bool ours = (n >= 7 && !memcmp(file, "<frozen", 7)) || !strcmp(file, "<pyisolate>");
  if (!ours && !policy_in_stdlib(file, n)) return 0;
  char name[PATH_MAX];
  bool genuine = !ours && gate_library_names("compile") && policy_module_of(file, name) && is_content_of(PyTuple_GetItem(args, 0), file, 0);
  return genuine ? gate_check_module(c, name) : policy_deny_event(c, r, "compile", "as standard library");
}

// ---- unmarshalled ------------------------------------------------------------------------------

// Our own code sets vouched right before it has CPython make code that it has judged. The first
// event thereafter is that code's: nobody else's code, nor another thread, runs before it.
bool code_vouched(cell *c) {
  bool yes = c->vouched;
  c->vouched = false;
  return yes;
}

PyObject *code_load(cell *c, const char *p, Py_ssize_t n) {
  c->vouched = true;
  PyObject *code = PyMarshal_ReadObjectFromString(p, n);
  c->vouched = false; // for want of memory there may have been no event
  return code;
}

// What nobody vouches for may be frozen into libpython. Import itself is made of what is so and has
// a name that begins with "_".
int code_check_load(cell *c, const rule *r, const char *event, PyObject *args) {
  PyObject *code = PyTuple_GetItem(args, 0);
  char *p;
  Py_ssize_t n;
  bool is = code && (PyType_GetFlags(Py_TYPE(code)) & TPFLAGS_BYTES) && !PyBytes_AsStringAndSize(code, &p, &n);
  PyErr_Clear();
  const char *name = is ? frozen_name(p, (size_t)n) : NULL;
  if (!name) return policy_deny_event(c, r, event, NULL);
  return *name == '_' ? 0 : gate_check_module(c, name);
}

// The compiled file of the standard library that importlib's function says it has read.
static bool compiled_file(char path[PATH_MAX]) {
  PyFrameObject *f = PyEval_GetFrame();
  PyObject *said = f ? PyFrame_GetVarString(f, "bytecode_path") : NULL;
  const char *p = gate_text(said);
  size_t n = p ? strlen(p) : PATH_MAX;
  bool has = n < PATH_MAX && policy_in_stdlib(p, n);
  if (has) memcpy(path, p, n + 1);
  if (said) Py_DecRef(said);
  PyErr_Clear();
  return has;
}

// PEP 3147: dir/__pycache__/name.tag.pyc is of dir/name.py. NULL, without an exception, for others.
static PyObject *source_of(const char *file) {
  static const char cache[] = "/__pycache__/";
  const char *dir = strstr(file, cache), *name = dir ? dir + sizeof cache - 1 : NULL, *dot = name ? strchr(name, '.') : NULL;
  char path[PATH_MAX];
  if (!dot || strchr(name, '/')) return NULL;
  int n = snprintf(path, sizeof path, "%.*s/%.*s.py", (int)(dir - file), file, (int)(dot - name), name);
  PyObject *source = n < (int)sizeof path ? PyUnicode_DecodeUTF8(path, n, NULL) : NULL;
  if (!source) PyErr_Clear();
  return source;
}

// The compiled file may have been made elsewhere, and its code then has a name of that place.
static PyObject *load_file(cell *c, PyObject *content, const char *file) {
  char *p;
  Py_ssize_t n;
  PyObject *code = PyBytes_AsStringAndSize(content, &p, &n) ? NULL : code_load(c, p, n);
  PyObject *source = code && Py_TYPE(code) == PyCode_Type_ ? source_of(file) : NULL;
  PyObject *named = source && c->real_rename ? PyObject_CallFunctionObjArgs(c->real_rename, code, source, NULL) : NULL;
  if (named) Py_DecRef(named);
  if (source) Py_DecRef(source);
  if (!PyErr_Occurred()) return code;
  if (code) Py_DecRef(code);
  return NULL;
}

// marshal.loads. What importlib gives it has to be a copy: a buffer of the guest's may change.
static PyObject *loads(PyObject *self, PyObject *args, PyObject *kwargs) {
  (void)self;
  cell *c = cell_current();
  char file[PATH_MAX];
  if (!c->claimed || kwargs || PyTuple_Size(args) != 1 || !compiled_file(file)) return gate_call(c->real_loads, args, kwargs);
  PyObject *content = PyBytes_FromObject(PyTuple_GetItem(args, 0)), *code = NULL;
  char name[PATH_MAX];
  bool genuine = content && policy_module_of(file, name) && is_content_of(content, file, 16); // PEP 552's header
  if (content && !genuine) code = gate_call(c->real_loads, args, kwargs);
  else if (content && !gate_check_module(c, name)) code = load_file(c, content, file);
  if (content) Py_DecRef(content);
  return code;
}

static bool same_text(PyObject *a, PyObject *b) {
  Py_ssize_t n = 0, m = 0;
  const char *p = PyUnicode_AsUTF8AndSize(a, &n), *q = PyUnicode_AsUTF8AndSize(b, &m); // asks no class of a guest's
  PyErr_Clear();
  return p && q && n == m && !memcmp(p, q, (size_t)n);
}

// _imp._fix_co_filename gives any code another name, and what is nested in it. importlib calls it
// for compiled files, whose code has its name by then.
static PyObject *rename_code(PyObject *self, PyObject *args) {
  (void)self;
  cell *c = cell_current();
  PyObject *code = PyTuple_Size(args) == 2 ? PyTuple_GetItem(args, 0) : NULL;
  if (c->claimed && code && Py_TYPE(code) == PyCode_Type_) {
    PyObject *old = PyObject_GetAttrString(code, "co_filename"), *name = PyTuple_GetItem(args, 1);
    bool trusted = old && (gate_trusted_name(old) || gate_trusted_name(name)), same = old && same_text(old, name);
    if (old) Py_DecRef(old);
    if (!old || (trusted && !same && policy_deny(c, "code", "a name of the standard library's"))) return NULL;
  }
  return gate_call(c->real_rename, args, NULL);
}

// ---- types.coroutine ---------------------------------------------------------------------------

enum { CO_GENERATOR = 0x20, CO_COROUTINE = 0x80, CO_ITERABLE_COROUTINE = 0x100 };

static PyObject *with_flags(cell *c, PyObject *code, long flags) {
  PyObject *replace = PyObject_GetAttrString(code, "replace"), *value = PyLong_FromLong(flags);
  PyObject *args = PyTuple_New(0), *named = PyDict_New(), *made = NULL;
  if (replace && value && args && named && !PyDict_SetItemString(named, "co_flags", value)) {
    c->vouched = true;
    made = PyObject_Call(replace, args, named);
    c->vouched = false;
  }
  if (named) Py_DecRef(named);
  if (args) Py_DecRef(args);
  if (value) Py_DecRef(value);
  if (replace) Py_DecRef(replace);
  return made;
}

static long flags_of(PyObject *code) {
  PyObject *value = code ? PyObject_GetAttrString(code, "co_flags") : NULL;
  long flags = value ? PyLong_AsLong(value) : 0;
  if (value) Py_DecRef(value);
  return flags;
}

// types.coroutine makes code that differs from a function's own in a flag only; asyncio needs it.
// The library does that in Python, to whatever calls itself a function, and may not any more.
static PyObject *coroutine(PyObject *self, PyObject *args, PyObject *kwargs) {
  (void)self;
  cell *c = cell_current();
  PyObject *function = !kwargs && PyTuple_Size(args) == 1 ? PyTuple_GetItem(args, 0) : NULL;
  PyObject *code = function && Py_TYPE(function) == PyFunction_Type_ ? PyObject_GetAttrString(function, "__code__") : NULL;
  long flags = flags_of(code);
  bool marks = (flags & (CO_GENERATOR | CO_COROUTINE | CO_ITERABLE_COROUTINE)) == CO_GENERATOR;
  PyObject *made = marks ? with_flags(c, code, flags | CO_ITERABLE_COROUTINE) : NULL;
  bool done = made && !PyObject_SetAttrString(function, "__code__", made);
  if (made) Py_DecRef(made);
  if (code) Py_DecRef(code);
  if (!marks && !PyErr_Occurred()) return gate_call(c->real_coroutine, args, kwargs);
  if (done) Py_IncRef(function);
  return done ? function : NULL;
}

// ---- installation ------------------------------------------------------------------------------

static PyMethodDef coroutine_def = {"coroutine", (PyCFunction)(void *)coroutine, METH_VARARGS | METH_KEYWORDS,
                                    "Convert regular generator function to a coroutine."};
static PyMethodDef loads_def = {"loads", (PyCFunction)(void *)loads, METH_VARARGS | METH_KEYWORDS,
                                "Convert the bytes-like object to a value."};
static PyMethodDef rename_def = {"_fix_co_filename", rename_code, METH_VARARGS, NULL};

int code_wrap(cell *c, const char *module, PyObject *dict) {
  if (!strcmp(module, "_imp")) return gate_wrap(dict, &rename_def, &c->real_rename);
  if (!strcmp(module, "types") && PyDict_GetItemString(dict, "coroutine")) return gate_wrap(dict, &coroutine_def, &c->real_coroutine);
  if (!strcmp(module, "marshal")) return gate_wrap(dict, &loads_def, &c->real_loads);
  if (!strcmp(module, "_thread")) return children_wrap(c, dict);
  return 0;
}
