// CPython looks frozen modules up in tables that libpython exports as variables.
// The code in them is bound to the interpreter's version, so it is compiled here,
// by the libpython that will run it; that takes a few milliseconds once.
#define _GNU_SOURCE
#include "frozen.h"
#include "frozen_py.h"
#include "pyapi.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct _frozen { const char *name; const unsigned char *code; int size; int is_package; };

// An entry with no code is in the table under its own name already.
typedef struct { const char *name, *file, *source; int is_package; } module;

static const module encodings[] = {
    {"encodings", "encodings/__init__.py", NULL, 1},
    {"encodings.aliases", "encodings/aliases.py", NULL, 0},
    {"encodings.utf_8", "encodings/utf_8.py", NULL, 0},
};
// Named like importlib's own code, CPython leaves it out of tracebacks.
static const module start_module = {"_frozen_importlib", "<frozen importlib._bootstrap>", start_source, 0};
static const module wake_module = {"_start_wake", "<frozen start>", wake_source, 0};

enum { MODULES = 8, BOOTSTRAP = 16 };
typedef struct { struct _frozen modules[MODULES], bootstrap[BOOTSTRAP]; } tables;

static const struct _frozen **modules_var, **bootstrap_var;
static const struct _frozen *plain_modules, *plain_bootstrap;
static tables *slim, *lazy;

static int fail(char *err, size_t errlen, const char *what, const char *name) {
  PyErr_Clear();
  snprintf(err, errlen, "%s %s", what, name);
  return -1;
}

static int find_tables(char *err, size_t errlen) {
  if (plain_bootstrap) return 0;
  modules_var = dlsym(RTLD_DEFAULT, "PyImport_FrozenModules");
  bootstrap_var = dlsym(RTLD_DEFAULT, "_PyImport_FrozenBootstrap");
  if (!modules_var || !bootstrap_var || !*bootstrap_var) return fail(err, errlen, "libpython does not export", "its frozen modules");
  // What start.py relies on is CPython's private business, read for this version.
  if (strncmp(Py_GetVersion(), "3.14.", 5)) return fail(err, errlen, "no frozen start is known for Python", Py_GetVersion());
  plain_modules = *modules_var;
  plain_bootstrap = *bootstrap_var;
  return 0;
}

static char *read_source(const char *path) {
  FILE *f = fopen(path, "re");
  if (!f) return NULL;
  char *text = NULL;
  size_t cap = 0;
  ssize_t n = getdelim(&text, &cap, '\0', f);
  fclose(f);
  if (n > 0) return text;
  free(text);
  return NULL;
}

// Entries live as long as the process: interpreters keep pointers to them.
static int freeze(struct _frozen *into, const module *m, const char *stdlib) {
  char path[4096], *text = NULL, *bytes;
  Py_ssize_t n;
  snprintf(path, sizeof path, "%s/%s", stdlib, m->file);
  if (!m->source && !(text = read_source(path))) return -1;
  PyObject *code = Py_CompileString(text ? text : m->source, text ? path : m->file, Py_file_input);
  PyObject *packed = code ? PyMarshal_WriteObjectToString(code, 5) : NULL;
  unsigned char *copy = NULL;
  if (packed && !PyBytes_AsStringAndSize(packed, &bytes, &n) && (copy = malloc((size_t)n))) {
    memcpy(copy, bytes, (size_t)n);
    *into = (struct _frozen){m->name, copy, (int)n, m->is_package};
  }
  if (packed) Py_DecRef(packed);
  if (code) Py_DecRef(code);
  free(text);
  return copy ? 0 : -1;
}

static const struct _frozen *plain_entry(const char *name) {
  for (const struct _frozen *p = plain_bootstrap; p->name; p++)
    if (!strcmp(p->name, name)) return p;
  return NULL;
}

static tables *build_slim(const char *stdlib, char *err, size_t errlen) {
  tables *t = calloc(1, sizeof *t);
  for (size_t i = 0; t && i < sizeof encodings / sizeof *encodings; i++)
    if (freeze(&t->modules[i], &encodings[i], stdlib)) {
      fail(err, errlen, "freeze", encodings[i].name);
      free(t);
      return NULL;
    }
  return t;
}

static tables *build_lazy(char *err, size_t errlen) {
  const struct _frozen *importlib = plain_entry("_frozen_importlib");
  tables *t = calloc(1, sizeof *t);
  if (!t || !importlib) return NULL;
  *t = *slim;
  struct _frozen *m = t->modules, *b = t->bootstrap;
  while (m->name) m++;
  if (freeze(m++, &wake_module, "") || freeze(b++, &start_module, "")) {
    fail(err, errlen, "freeze", "the start modules");
    free(t);
    return NULL;
  }
  *m = *importlib;
  m->name = "_start_importlib";
  for (const struct _frozen *p = plain_bootstrap; p->name && b < t->bootstrap + BOOTSTRAP - 1; p++)
    if (p != importlib) *b++ = *p;
  return t;
}

int frozen_prepare(frozen_start start, const char *stdlib, char *err, size_t errlen) {
  if (find_tables(err, errlen)) return -1;
  if (start != FROZEN_PLAIN && !slim && !(slim = build_slim(stdlib, err, errlen))) return -1;
  if (start == FROZEN_LAZY && !lazy && !(lazy = build_lazy(err, errlen))) return -1;
  *modules_var = start == FROZEN_PLAIN ? plain_modules : start == FROZEN_SLIM ? slim->modules : lazy->modules;
  *bootstrap_var = start == FROZEN_LAZY ? lazy->bootstrap : plain_bootstrap;
  return 0;
}
