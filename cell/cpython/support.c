// The support module's sources. All are compiled once per process; guest.py runs in
// every interpreter, the others in those that come to need them.
#define _GNU_SOURCE
#include "cell.h"
#include "guest_py.h" // NAME_source[], generated from NAME.py

#include <stdlib.h>
#include <string.h>

// What one source may take beyond the guest's limit, which it does not count to.
#define ROOM (256 << 10)

static struct {
  const char *name, *source, *file;
  char *code; // marshalled
  size_t n;
} sources[] = {
    [SUPPORT_GUEST] = {"guest", guest_source, "<pyisolate>", NULL, 0},
    [SUPPORT_ERRORS] = {"errors", errors_source, "<pyisolate>", NULL, 0},
    [SUPPORT_STREAMS] = {"streams", streams_source, "<pyisolate>", NULL, 0},
    [SUPPORT_DIALECT] = {"dialect", dialect_source, "<pyisolate>", NULL, 0},
    // Under a name that the gate does not trust: they need no more than a guest has, and
    // so whatever a guest makes them call is judged as the guest's own.
    [SUPPORT_EFFECTS] = {"effects", effects_source, "<pyisolate effects>", NULL, 0},
    [SUPPORT_LOAD] = {"load", load_source, "<pyisolate>", NULL, 0},
    [SUPPORT_NAMES] = {"names", names_source, "<pyisolate>", NULL, 0},
    [SUPPORT_SAVE] = {"save", save_source, "<pyisolate>", NULL, 0},
    [SUPPORT_INSTANCES] = {"instances", instances_source, "<pyisolate>", NULL, 0},
    [SUPPORT_FIND] = {"find", find_source, "<pyisolate>", NULL, 0},
    [SUPPORT_SNAPSHOT] = {"snapshot", snapshot_source, "<pyisolate>", NULL, 0},
};
enum { SOURCES = sizeof sources / sizeof *sources };

static int compile(support_part p) {
  char *bytes;
  Py_ssize_t n;
  PyObject *code = Py_CompileString(sources[p].source, sources[p].file, Py_file_input);
  PyObject *packed = code ? PyMarshal_WriteObjectToString(code, 5) : NULL;
  int rc = -1;
  if (packed && !PyBytes_AsStringAndSize(packed, &bytes, &n) && (sources[p].code = malloc((size_t)n))) {
    memcpy(sources[p].code, bytes, (size_t)n);
    sources[p].n = (size_t)n;
    rc = 0;
  }
  if (packed) Py_DecRef(packed);
  if (code) Py_DecRef(code);
  return rc;
}

int support_compile(void) {
  for (int p = 0; p < SOURCES; p++)
    if (compile(p)) return -1;
  return 0;
}

static int run(cell *c, support_part p) {
  PyObject *code = code_load(c, sources[p].code, (Py_ssize_t)sources[p].n);
  PyObject *done = code ? PyEval_EvalCode(code, c->guest, c->guest) : NULL;
  if (code) Py_DecRef(code);
  if (done) Py_DecRef(done);
  return done ? 0 : -1;
}

// The guest may delete the names; the types must stay.
static int keep_types(cell *c) {
  PyObject *denied = PyDict_GetItemString(c->guest, "PolicyDenied");
  if (denied) Py_IncRef(denied);
  PyObject *import_denied = PyDict_GetItemString(c->guest, "ImportDenied");
  if (import_denied) Py_IncRef(import_denied);
  c->denied = denied;
  c->import_denied = import_denied;
  if (denied && import_denied) return 0;
  PyErr_SetString(PyExc_RuntimeError, "the support module has been taken apart");
  return -1;
}

// An interrupt may end it anywhere; then the next one runs it again, from its start.
int support_load(cell *c, support_part p) {
  if (!c->guest) {
    PyErr_SetString(PyExc_RuntimeError, "the interpreter ends");
    return -1;
  }
  if (c->supported & 1u << p) return 0;
  PyErr_Clear();
  if (p > SUPPORT_ERRORS && support_load(c, SUPPORT_ERRORS)) return -1;
  // Only the outermost load has room of its own, and only one that succeeded keeps it: the
  // guest may have replaced what our code calls, to fail or to come here again.
  bool outermost = !c->room;
  int64_t before = atomic_load(&c->used);
  if (outermost) c->room = ROOM;
  int rc = run(c, p);
  if (outermost) c->room = 0;
  int64_t kept = atomic_load(&c->used) - before;
  bool again = c->supported & 1u << p; // what it called has loaded it
  if (!rc && !again && outermost && c->claimed && kept > 0) c->base += kept < ROOM ? kept : ROOM;
  if (!rc && !again && p == SUPPORT_ERRORS) rc = keep_types(c);
  if (!rc) c->supported |= 1u << p;
  return rc;
}

int support_load_named(cell *c, const char *name) {
  for (int p = 0; p < SOURCES; p++)
    if (!strcmp(sources[p].name, name)) return support_load(c, p);
  PyErr_SetString(PyExc_ValueError, "there is no such source");
  return -1;
}

int support_load_all(cell *c) {
  for (int p = 0; p < SOURCES; p++)
    if (support_load(c, p)) return -1;
  return 0;
}

PyObject *support_name(cell *c, support_part p, const char *name) {
  PyObject *found = support_load(c, p) ? NULL : PyDict_GetItemString(c->guest, name);
  if (found) Py_IncRef(found);
  else if (!PyErr_Occurred()) PyErr_SetString(PyExc_RuntimeError, "the support module has been taken apart");
  return found;
}

PyObject *support_call(cell *c, support_part p, const char *name, PyObject *a, PyObject *b, PyObject *d) {
  PyObject *f = support_name(c, p, name);
  if (!f) return NULL;
  PyObject *result = PyObject_CallFunctionObjArgs(f, a, b, d, NULL);
  Py_DecRef(f);
  return result;
}
