// The functions a guest can call, and the support module around them.
#define _GNU_SOURCE
#include "cell.h"

#include <stdlib.h>
#include <string.h>

static PyObject *none(void) {
  Py_IncRef(Py_None);
  return Py_None;
}

// wire_send gave up: raise what ends the guest, unless an injection did already.
static PyObject *unwind(cell *c) {
  if (!PyErr_Occurred()) PyErr_SetNone(c->interrupt ? c->interrupt : PyExc_RuntimeError);
  return NULL;
}

static text bounded(cell *c) { return (text){.max = rules_message_max(c)}; }

static PyObject *post(PyObject *self, PyObject *value) {
  (void)self;
  cell *c = cell_current();
  if (state_busy(c)) return NULL;
  text t = bounded(c);
  part body;
  uint8_t flags;
  PyObject *result = NULL;
  if (!value_pack(&t, value, "value", &body, &flags))
    result = wire_send(c, OUT_POST, flags, atomic_load(&c->op), &body, 1) ? none() : unwind(c);
  text_free(&t);
  return result;
}

static PyObject *take_answer(cell *c, frame *f, const char *none_kind) {
  PyObject *o = NULL;
  if (f->h.flags & FLAG_ERROR) fault_raise(c, f->data, f->h.len);
  else if (f->h.flags & FLAG_NONE) {
    PyObject *type = support_name(c, SUPPORT_ERRORS, none_kind);
    if (type) {
      PyErr_SetString(type, "nothing came in time");
      Py_DecRef(type);
    }
  } else
    o = value_unpack(f->data, f->h.len, f->h.flags);
  free(f->data);
  return o;
}

static PyObject *receive(PyObject *self, PyObject *timeout) {
  (void)self;
  cell *c = cell_current();
  if (state_busy(c)) return NULL;
  double seconds = PyFloat_AsDouble(timeout);
  if (seconds == -1 && PyErr_Occurred()) return NULL;
  part body = {&seconds, sizeof seconds};
  frame f;
  uint8_t flags = pthread_self() == c->thread ? FLAG_BOUND : 0;
  return wire_ask(c, OUT_RECV, flags, &body, 1, &f) ? take_answer(c, &f, "Timeout") : unwind(c);
}

static const char *str_arg(PyObject *args, Py_ssize_t i, uint32_t *n) {
  Py_ssize_t len = 0;
  PyObject *o = PyTuple_GetItem(args, i);
  const char *p = o ? PyUnicode_AsUTF8AndSize(o, &len) : NULL;
  *n = (uint32_t)len;
  return p;
}

// What the host takes of a name, for which it would end the cell: maxName in package host.
#define NAME_BYTES 1024

static const char *name_arg(PyObject *args, Py_ssize_t i, const char *what, uint32_t *n) {
  const char *p = str_arg(args, i, n);
  if (!p || *n <= NAME_BYTES) return p;
  PyErr_Format(PyExc_ValueError, "%s has %d bytes at most, not %zd", what, NAME_BYTES, (Py_ssize_t)*n);
  return NULL;
}

// The optional dict at args[i] as JSON. -1 with an exception.
static int fields_arg(cell *c, PyObject *args, Py_ssize_t i, const char *root, text *t) {
  *t = bounded(c);
  PyObject *o = PyTuple_GetItem(args, i);
  if (!o) return -1;
  return o == Py_None ? 0 : value_encode(t, o, root);
}

static PyObject *log_record(PyObject *self, PyObject *args) {
  (void)self;
  cell *c = cell_current();
  uint32_t n[2];
  const char *level = name_arg(args, 0, "a log level", &n[0]);
  PyObject *message = level ? PyTuple_GetItem(args, 1) : NULL;
  // print() of a lone surrogate must not fail.
  PyObject *bytes = message ? PyUnicode_AsEncodedString(message, "utf-8", "backslashreplace") : NULL;
  char *p;
  Py_ssize_t len;
  text t = {0};
  PyObject *result = NULL;
  if (bytes && !PyBytes_AsStringAndSize(bytes, &p, &len) && !fields_arg(c, args, 2, "fields", &t)) {
    uint32_t most = rules_message_max(c);
    if ((size_t)len > most) len = most;
    n[1] = (uint32_t)len;
    part parts[] = {{n, sizeof n}, {level, n[0]}, {p, n[1]}, {t.p, t.n}};
    result = wire_send(c, OUT_LOG, 0, atomic_load(&c->op), parts, 4) ? none() : unwind(c);
  }
  text_free(&t);
  if (bytes) Py_DecRef(bytes);
  return result;
}

static PyObject *metric(PyObject *self, PyObject *args) {
  (void)self;
  cell *c = cell_current();
  uint32_t n;
  const char *name = name_arg(args, 0, "a metric's name", &n);
  PyObject *value = name ? PyTuple_GetItem(args, 1) : NULL;
  if (!value) return NULL;
  double v = PyFloat_AsDouble(value);
  text t = {0};
  PyObject *result = NULL;
  if (!(v == -1 && PyErr_Occurred()) && !fields_arg(c, args, 2, "tags", &t)) {
    part parts[] = {{&v, sizeof v}, {&n, sizeof n}, {name, n}, {t.p, t.n}};
    result = wire_send(c, OUT_METRIC, 0, atomic_load(&c->op), parts, 4) ? none() : unwind(c);
  }
  text_free(&t);
  return result;
}

static PyObject *request(PyObject *self, PyObject *args) {
  (void)self;
  cell *c = cell_current();
  if (state_busy(c)) return NULL;
  uint32_t n[2];
  const char *capability = name_arg(args, 0, "a capability", &n[0]);
  const char *action = capability ? name_arg(args, 1, "an action", &n[1]) : NULL;
  PyObject *payload = action ? PyTuple_GetItem(args, 2) : NULL;
  if (!payload) return NULL;
  text t = bounded(c);
  part body;
  uint8_t flags;
  frame f;
  PyObject *result = NULL;
  if (!value_pack(&t, payload, "payload", &body, &flags)) {
    part parts[] = {{n, sizeof n}, {capability, n[0]}, {action, n[1]}, body};
    result = wire_ask(c, OUT_REQUEST, flags, parts, 4, &f) ? take_answer(c, &f, "Timeout") : unwind(c);
  }
  text_free(&t);
  return result;
}

// The trace context of the operation that runs, or None. The host writes the next one when this
// operation is over.
static PyObject *trace(PyObject *self, PyObject *unused) {
  (void)self;
  (void)unused;
  cell *c = cell_current();
  char parent[RING_TRACE];
  uint64_t op = atomic_load(&c->op);
  memcpy(parent, c->hdr->trace, sizeof parent);
  if (!op || !parent[0] || atomic_load(&c->op) != op) return none();
  return PyUnicode_DecodeUTF8(parent, sizeof parent, "replace");
}

// Imports with the guest's own rights, whatever trusted code is on the stack.
static PyObject *guest_import(PyObject *self, PyObject *name) {
  (void)self;
  const char *text = PyUnicode_AsUTF8AndSize(name, NULL);
  if (!text || gate_check_guest(cell_current(), text)) return NULL;
  return PyImport_ImportModule(text);
}

// Would guest_import be let? 1 or 0.
static PyObject *grants(PyObject *self, PyObject *name) {
  (void)self;
  const char *text = PyUnicode_AsUTF8AndSize(name, NULL);
  return text ? PyLong_FromLong(gate_grants_guest(cell_current(), text)) : NULL;
}

// ---- for effects.py --------------------------------------------------------------------

static PyObject *encode_json(PyObject *self, PyObject *value) {
  (void)self;
  text t = bounded(cell_current());
  PyObject *bytes = value_encode(&t, value, "value") ? NULL : PyBytes_FromStringAndSize(t.p, (Py_ssize_t)t.n);
  text_free(&t);
  return bytes;
}

static PyObject *decode_json(PyObject *self, PyObject *bytes) {
  (void)self;
  char *p;
  Py_ssize_t n;
  return PyBytes_AsStringAndSize(bytes, &p, &n) ? NULL : value_decode(p, (size_t)n);
}

static PyObject *load_support(PyObject *self, PyObject *name) {
  (void)self;
  const char *text = PyUnicode_AsUTF8AndSize(name, NULL);
  return text && !support_load_named(cell_current(), text) ? none() : NULL;
}

static PyMethodDef functions[] = {
    {"post", post, METH_O, "post(value): appends one JSON value or bytes object to the cell's outbox."},
    {"recv", receive, METH_O, NULL},
    {"log", log_record, METH_VARARGS, NULL},
    {"metric", metric, METH_VARARGS, NULL},
    {"request", request, METH_VARARGS, NULL},
    {"trace", trace, METH_NOARGS, NULL},
    {"guest_import", guest_import, METH_O, NULL},
    {"grants", grants, METH_O, NULL},
    {"encode", encode_json, METH_O, NULL},
    {"decode", decode_json, METH_O, NULL},
    {"load", load_support, METH_O, NULL},
    {"pickle", modules_pickle, METH_O, NULL},
    {"write_state", state_write, METH_O, NULL},
    {"save_code", state_save_code, METH_O, NULL},
    {"plain", state_plain, METH_VARARGS, NULL},
    {"reducer", state_reducer, METH_O, NULL},
    {"read_state", state_read, METH_NOARGS, NULL},
    {"state_code", state_code, METH_O, NULL},
    {"state_whole", state_whole, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

// An object to hang the C functions on; a plain namespace without importing one.
static PyObject *namespace(void) {
  PyObject *implementation = PySys_GetObject("implementation"); // a SimpleNamespace, borrowed
  PyObject *ns = implementation ? PyObject_CallNoArgs(Py_TYPE(implementation)) : NULL;
  for (PyMethodDef *d = functions; ns && d->ml_name; d++) {
    PyObject *f = PyCFunction_NewEx(d, NULL, NULL);
    if (!f || PyObject_SetAttrString(ns, d->ml_name, f)) {
      Py_DecRef(ns);
      ns = NULL;
    }
    if (f) Py_DecRef(f);
  }
  return ns;
}

static int run_support(cell *c) {
  PyObject *module = PyImport_AddModuleRef("pyisolate_guest");
  PyObject *ns = namespace(), *install = NULL;
  PyObject *builtins = PyDict_GetItemString(PyImport_GetModuleDict(), "builtins");
  if (module && ns) {
    c->guest = PyModule_GetDict(module);
    PyDict_SetItemString(c->guest, "_c", ns);
    PyDict_SetItemString(c->guest, "__builtins__", builtins);
    install = support_name(c, SUPPORT_GUEST, "_install");
  }
  PyObject *installed = install ? PyObject_CallNoArgs(install) : NULL;
  if (install) Py_DecRef(install);
  int rc = installed ? 0 : -1;
  if (installed) Py_DecRef(installed);
  if (ns) Py_DecRef(ns);
  c->guest_module = module; // c->guest borrows from it
  return rc;
}

int guest_install(cell *c) {
  PyObject *main_module = PyImport_AddModuleRef("__main__");
  if (!main_module || run_support(c)) return -1;
  c->main_dict = PyModule_GetDict(main_module);
  c->interrupt = PyDict_GetItemString(c->guest, "_Interrupt");
  if (!c->interrupt) return -1;
  Py_IncRef(c->interrupt); // the guest may delete the name
  c->stdout_kept = PySys_GetObject("stdout");
  c->stderr_kept = PySys_GetObject("stderr");
  if (!c->stdout_kept || !c->stderr_kept) return -1;
  Py_IncRef(c->stdout_kept);
  Py_IncRef(c->stderr_kept);
  c->main_module = main_module;
  return 0;
}

// ---- what the cell holds of its interpreter -------------------------------------------------

static const char holding[] = "pyisolate.cell";

static void let_go(PyObject *capsule) {
  cell *c = PyCapsule_GetPointer(capsule, holding);
  if (!c) return;
  c->guest = NULL; // it is the module's
  c->supported = 0;
  PyObject **held[] = {&c->interrupt, &c->denied, &c->import_denied, &c->stdout_kept, &c->stderr_kept, &c->main_module,
                       &c->guest_module, &c->real_import, &c->real_lazy_import, &c->real_find_and_load,
                       &c->real_create_builtin, &c->real_create_dynamic, &c->real_exec_builtin, &c->real_exec_dynamic,
                       &c->real_loads, &c->real_rename, &c->real_coroutine, &c->real_start_new, &c->real_start_joinable,
                       &c->real_stack_size};
  for (size_t i = 0; i < sizeof held / sizeof *held; i++) {
    PyObject *o = *held[i];
    *held[i] = NULL;
    if (o) Py_DecRef(o);
  }
}

// All that is held is given up when CPython clears the interpreter's own dictionary: after
// the modules, and so after most of the guest's finalisers, which the gate still meets.
int guest_hold(cell *c) {
  PyObject *dict = PyInterpreterState_GetDict(c->interp);
  PyObject *capsule = dict ? PyCapsule_New(c, holding, let_go) : NULL;
  int rc = capsule ? PyDict_SetItemString(dict, holding, capsule) : -1;
  if (capsule) Py_DecRef(capsule);
  if (!rc) PyObject_GC_UnTrack(dict); // or gc would hand it out
  return rc;
}
