#define _GNU_SOURCE
#include "pyapi.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

#define X(ret, name, args) ret(*name) args;
PY_FUNCTIONS(X)
#undef X
#define X(name) PyObject *name;
PY_TYPES(X)
#undef X
PyObject *Py_None, *Py_True, *Py_False;
#define X(name) PyObject *name##_;
PY_STATIC_TYPES(X)
#undef X
uintptr_t py_image_lo, py_image_hi;

static int find_image(struct dl_phdr_info *info, size_t size, void *anchor) {
  (void)size;
  uintptr_t lo = UINTPTR_MAX, hi = 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    if (info->dlpi_phdr[i].p_type != PT_LOAD) continue;
    uintptr_t a = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
    if (a < lo) lo = a;
    if (a + info->dlpi_phdr[i].p_memsz > hi) hi = a + info->dlpi_phdr[i].p_memsz;
  }
  if ((uintptr_t)anchor < lo || (uintptr_t)anchor >= hi) return 0;
  py_image_lo = lo;
  py_image_hi = hi;
  return 1;
}

static void *resolve(void *lib, const char *name, char *err, size_t errlen) {
  void *p = dlsym(lib, name);
  if (!p) snprintf(err, errlen, "libpython has no %s: it is older than 3.14, or a cut-down build", name);
  return p;
}

int py_load(const char *path, char *err, size_t errlen) {
  // RTLD_GLOBAL: extension modules resolve the API from it.
  void *lib = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
  if (!lib) {
    snprintf(err, errlen, "open libpython: %s", dlerror());
    return -1;
  }
#define X(ret, name, args) \
  if (!(*(void **)(&name) = resolve(lib, #name, err, errlen))) return -1;
  PY_FUNCTIONS(X)
#undef X
#define X(name) \
  { \
    PyObject **p = resolve(lib, #name, err, errlen); \
    if (!p) return -1; \
    name = *p; \
  }
  // The variables are filled in statically in CPython, so they can be read now.
  PY_TYPES(X)
#undef X
#define X(name) \
  if (!(name##_ = resolve(lib, #name, err, errlen))) return -1;
  PY_STATIC_TYPES(X)
#undef X
  if (!(Py_None = resolve(lib, "_Py_NoneStruct", err, errlen)) ||
      !(Py_True = resolve(lib, "_Py_TrueStruct", err, errlen)) ||
      !(Py_False = resolve(lib, "_Py_FalseStruct", err, errlen)))
    return -1;
  dl_iterate_phdr(find_image, (void *)(uintptr_t)Py_GetVersion);
  return 0;
}
