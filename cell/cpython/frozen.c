// CPython looks its bootstrap modules up in tables of marshalled code that
// libpython exports as variables. The lazy start puts frozen/start.py in
// importlib's place. Code is bound to an interpreter's version, so it is compiled
// here, by the libpython that will run it; that takes two milliseconds once.
#define _GNU_SOURCE
#include "frozen.h"
#include "frozen_py.h"
#include "pyapi.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// CPython's struct _frozen of cpython/import.h.
typedef struct { const char *name; const unsigned char *code; int size; int is_package; } entry;

enum { ENTRIES = 16 };
static const entry **modules_var, **bootstrap_var; // PyImport_FrozenModules, _PyImport_FrozenBootstrap
static const entry *plain_modules, *plain_bootstrap;
// Interpreters keep pointers to these; they live as long as the process.
static entry slim_modules[ENTRIES], lazy_modules[ENTRIES], lazy_bootstrap[ENTRIES];

static int fail(char *err, size_t errlen, const char *what, const char *which) {
  PyErr_Clear();
  snprintf(err, errlen, "%s %s", what, which);
  return -1;
}

static int find_tables(char *err, size_t errlen) {
  if (plain_bootstrap) return 0;
  modules_var = dlsym(RTLD_DEFAULT, "PyImport_FrozenModules");
  bootstrap_var = dlsym(RTLD_DEFAULT, "_PyImport_FrozenBootstrap");
  if (!modules_var || !bootstrap_var || !*bootstrap_var)
    return fail(err, errlen, "libpython does not export", "its frozen modules");
  // What start.py answers is CPython's private business, read for this version.
  if (strncmp(Py_GetVersion(), "3.14.", 5)) return fail(err, errlen, "no lazy start is known for Python", Py_GetVersion());
  plain_modules = *modules_var;
  plain_bootstrap = *bootstrap_var;
  return 0;
}

static int freeze(entry *into, const char *name, const char *source, const char *file) {
  char *bytes;
  Py_ssize_t n;
  unsigned char *copy = NULL;
  PyObject *code = Py_CompileString(source, file, Py_file_input);
  PyObject *packed = code ? PyMarshal_WriteObjectToString(code, 5) : NULL;
  if (packed && !PyBytes_AsStringAndSize(packed, &bytes, &n) && (copy = malloc((size_t)n))) {
    memcpy(copy, bytes, (size_t)n);
    *into = (entry){name, copy, (int)n, 0};
  }
  if (packed) Py_DecRef(packed);
  if (code) Py_DecRef(code);
  return copy ? 0 : -1;
}

// Appends p's entries to what is in table already.
static int append(entry *table, const entry *p, char *err, size_t errlen) {
  size_t n = 0;
  while (table[n].name) n++;
  for (; p && p->name; p++) {
    if (n == ENTRIES - 1) return fail(err, errlen, "libpython has too many", "frozen modules");
    table[n++] = *p;
  }
  return 0;
}

// ---- slim --------------------------------------------------------------------------------------

static char *read_source(const char *path, const char *suffix) {
  FILE *f = fopen(path, "re");
  if (!f) return NULL;
  char *text = NULL, *whole = NULL;
  size_t cap = 0;
  if (getdelim(&text, &cap, '\0', f) > 0 && asprintf(&whole, "%s%s", text, suffix) < 0) whole = NULL;
  fclose(f);
  free(text);
  return whole;
}

static int build_slim(const char *stdlib, char *err, size_t errlen) {
  // A frozen package finds its other modules only when it is told where.
  static const struct { const char *name, *file, *suffix; } sources[] = {
      {"encodings.aliases", "encodings/aliases.py", ""},
      {"encodings.utf_8", "encodings/utf_8.py", ""},
      {"encodings", "encodings/__init__.py", "\n__file__ = normalize_encoding.__code__.co_filename\n"
                                             "__path__[:] = [__file__.rpartition('/')[0]]\n"},
  };
  if (slim_modules[0].name) return 0;
  entry made[ENTRIES] = {{0}};
  for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", stdlib, sources[i].file);
    char *text = read_source(path, sources[i].suffix);
    int rc = text ? freeze(&made[i], sources[i].name, text, path) : -1;
    free(text);
    if (rc) return fail(err, errlen, "compile", path);
    made[i].is_package = *sources[i].suffix != 0;
  }
  if (append(made, plain_modules, err, errlen)) return -1;
  memcpy(slim_modules, made, sizeof made);
  return 0;
}

// ---- lazy --------------------------------------------------------------------------------------

static int build_lazy(char *err, size_t errlen) {
  if (lazy_bootstrap[0].name) return 0;
  entry modules[ENTRIES] = {{0}}, bootstrap[ENTRIES] = {{0}};
  if (append(bootstrap, plain_bootstrap, err, errlen)) return -1;
  entry *importlib = bootstrap;
  while (importlib->name && strcmp(importlib->name, "_frozen_importlib")) importlib++;
  if (!importlib->name) return fail(err, errlen, "libpython has no", "_frozen_importlib");
  modules[0] = *importlib;
  modules[0].name = "_start_importlib";
  // Under importlib's own file name, CPython leaves start.py out of tracebacks.
  if (freeze(importlib, "_frozen_importlib", start_source, "<frozen importlib._bootstrap>") ||
      freeze(&modules[1], "_start_wake", wake_source, "<frozen start>"))
    return fail(err, errlen, "compile", "the lazy start");
  if (append(modules, plain_modules, err, errlen)) return -1;
  memcpy(lazy_modules, modules, sizeof modules);
  memcpy(lazy_bootstrap, bootstrap, sizeof bootstrap);
  return 0;
}

int frozen_prepare(frozen_start start, const char *stdlib, char *err, size_t errlen) {
  if (find_tables(err, errlen)) return -1;
  if (start == FROZEN_SLIM && build_slim(stdlib, err, errlen)) return -1;
  if (start == FROZEN_LAZY && build_lazy(err, errlen)) return -1;
  *modules_var = start == FROZEN_PLAIN ? plain_modules : start == FROZEN_SLIM ? slim_modules : lazy_modules;
  *bootstrap_var = start == FROZEN_LAZY ? lazy_bootstrap : plain_bootstrap;
  return 0;
}

// ---- what is frozen ------------------------------------------------------------------------------

static const char *among(const entry *table, const char *code, size_t n) {
  for (; table && table->name; table++)
    if (table->code && (size_t)table->size == n && !memcmp(table->code, code, n)) return table->name;
  return NULL;
}

const char *frozen_name(const char *code, size_t n) {
  static const char *const names[] = {"PyImport_FrozenModules", "_PyImport_FrozenBootstrap", "_PyImport_FrozenStdlib",
                                      "_PyImport_FrozenTest"};
  const entry *ours[] = {slim_modules, lazy_modules, lazy_bootstrap};
  const char *found = NULL;
  for (size_t i = 0; !found && i < sizeof names / sizeof *names; i++) {
    const entry **table = dlsym(RTLD_DEFAULT, names[i]);
    if (table) found = among(*table, code, n);
  }
  for (size_t i = 0; !found && i < sizeof ours / sizeof *ours; i++) found = among(ours[i], code, n);
  return found;
}

// ---- open() of a lazy interpreter ----------------------------------------------------------------

// self is start.py's stand-in for _io, which wakes the import system when it is asked
// for the real thing.
static PyObject *open_real(PyObject *self, PyObject *args, PyObject *kwargs) {
  PyObject *get = PyObject_GetAttrString(self, "__getattr__"), *name = PyUnicode_FromStringAndSize("open", 4);
  PyObject *real = get && name ? PyObject_CallOneArg(get, name) : NULL;
  PyObject *file = real ? PyObject_Call(real, args, kwargs) : NULL;
  if (real) Py_DecRef(real);
  if (name) Py_DecRef(name);
  if (get) Py_DecRef(get);
  return file;
}

static PyMethodDef open_def = {"open", (PyCFunction)(void *)open_real, METH_VARARGS | METH_KEYWORDS,
                               "Open file and return a stream.  Raise OSError upon failure."};

int frozen_finish(void) {
  PyObject *modules = PyImport_GetModuleDict();
  PyObject *io = PyDict_GetItemString(modules, "_io"), *builtins = PyDict_GetItemString(modules, "builtins");
  if (!io || !builtins) return -1;
  PyObject *dict = PyModule_GetDict(io);
  if (!PyDict_GetItemString(dict, "__getattr__")) return 0; // not ours
  PyObject *module = PyUnicode_FromStringAndSize("_io", 3);
  PyObject *open = module ? PyCFunction_NewEx(&open_def, io, module) : NULL;
  int rc = open ? 0 : -1;
  if (open && (PyDict_SetItemString(dict, "open", open) || PyDict_SetItemString(PyModule_GetDict(builtins), "open", open))) rc = -1;
  if (open) Py_DecRef(open);
  if (module) Py_DecRef(module);
  return rc;
}
