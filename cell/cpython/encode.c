// Python objects to JSON text. Written here because importing json costs a
// cell 5 ms and half a megabyte, and because what cannot cross must be named by
// its path. Accepted: None, bool, int, float, str, list, tuple, dict with str
// keys, and their subclasses. Refused: everything else, NaN, infinities, lone
// surrogates, nesting deeper than MAX_DEPTH.
#define _GNU_SOURCE
#include "cell.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// So much of a text counts to nothing: a guest that has used its memory up can say that it has.
#define SMALL (64 << 10)

void text_free(text *t) {
  if (t->cap > SMALL) memory_free(t->p);
  else free(t->p);
  t->p = NULL;
  t->n = t->cap = 0;
}

static int too_big(text *t) {
  PyErr_Format(PyExc_ValueError, "value is larger than the message limit of %zd bytes", (Py_ssize_t)t->max);
  return -1;
}

// The text in cap bytes, more than it has; NULL: it is where it was.
static char *resize(text *t, size_t cap) {
  if (cap <= SMALL) return realloc(t->p, cap);
  if (t->cap > SMALL) return memory_resize(t->p, cap);
  char *p = memory_resize(NULL, cap);
  if (!p) return NULL;
  if (t->n) memcpy(p, t->p, t->n);
  free(t->p);
  return p;
}

static int append(text *t, const void *p, size_t n) {
  if (t->max && n > t->max - t->n) return too_big(t);
  if (t->n + n > t->cap) {
    size_t cap = t->cap ? t->cap * 2 : 256;
    while (cap < t->n + n) cap *= 2;
    char *grown = resize(t, cap);
    if (!grown) {
      PyErr_NoMemory();
      return -1;
    }
    t->p = grown;
    t->cap = cap;
  }
  memcpy(t->p + t->n, p, n);
  t->n += n;
  return 0;
}

static int append_str(text *t, const char *s) { return append(t, s, strlen(s)); }

// Where the encoder is: a chain on the C stack, rendered only for an error.
typedef struct step { const struct step *up; const char *key; Py_ssize_t index; int depth; } step;

static size_t render(const step *s, const char *root, char *out, size_t cap) {
  if (!s) return (size_t)snprintf(out, cap, "%s", root);
  size_t n = render(s->up, root, out, cap);
  if (n >= cap) return cap - 1;
  int m = s->key ? snprintf(out + n, cap - n, "['%.40s']", s->key) : snprintf(out + n, cap - n, "[%zd]", s->index);
  return n + (size_t)m >= cap ? cap - 1 : n + (size_t)m;
}

static int refuse(const step *s, const char *root, const char *why) {
  char path[256];
  render(s, root, path, sizeof path);
  PyErr_Format(PyExc_TypeError, "%s: %s", path, why);
  return -1;
}

static int encode(text *t, PyObject *o, const step *s, const char *root);

static int encode_str(text *t, PyObject *o, const step *s, const char *root) {
  static const char hex[] = "0123456789abcdef";
  Py_ssize_t n;
  const char *p = PyUnicode_AsUTF8AndSize(o, &n);
  if (!p) {
    PyErr_Clear();
    return refuse(s, root, "str holds a lone surrogate");
  }
  if (append(t, "\"", 1)) return -1;
  Py_ssize_t from = 0;
  for (Py_ssize_t i = 0; i < n; i++) {
    unsigned char ch = (unsigned char)p[i];
    if (ch >= 0x20 && ch != '"' && ch != '\\') continue;
    char esc[6] = {'\\', (char)ch};
    size_t len = 2;
    if (ch == '\n') esc[1] = 'n';
    else if (ch == '\t') esc[1] = 't';
    else if (ch == '\r') esc[1] = 'r';
    else if (ch < 0x20) {
      memcpy(esc, "\\u00", 4);
      esc[4] = hex[ch >> 4];
      esc[5] = hex[ch & 15];
      len = 6;
    }
    if (append(t, p + from, (size_t)(i - from)) || append(t, esc, len)) return -1;
    from = i + 1;
  }
  return append(t, p + from, (size_t)(n - from)) || append(t, "\"", 1) ? -1 : 0;
}

static int encode_int(text *t, PyObject *o) {
  int overflow;
  long long v = PyLong_AsLongLongAndOverflow(o, &overflow);
  if (v == -1 && PyErr_Occurred()) return -1;
  if (!overflow) {
    char b[24];
    return append(t, b, (size_t)snprintf(b, sizeof b, "%lld", v));
  }
  // int.__str__ of the builtin type, not an override: the number itself.
  char *digits = NULL;
  PyObject *zero = PyLong_FromLong(0), *plain = NULL, *str = NULL;
  if (zero) plain = PyObject_GetAttrString(Py_TYPE(zero), "__repr__");
  if (plain) str = PyObject_CallOneArg(plain, o);
  int rc = -1;
  if (str && (digits = (char *)PyUnicode_AsUTF8AndSize(str, NULL))) rc = append_str(t, digits);
  if (str) Py_DecRef(str);
  if (plain) Py_DecRef(plain);
  if (zero) Py_DecRef(zero);
  return rc;
}

static int encode_float(text *t, PyObject *o, const step *s, const char *root) {
  double d = PyFloat_AsDouble(o);
  if (d == -1 && PyErr_Occurred()) return -1;
  if (!isfinite(d)) return refuse(s, root, isnan(d) ? "NaN is not JSON" : "infinity is not JSON");
  char *r = PyOS_double_to_string(d, 'r', 0, 2 /* keep ".0" */, NULL);
  if (!r) return -1;
  int rc = append_str(t, r);
  PyMem_Free(r);
  return rc;
}

static int encode_dict(text *t, PyObject *o, const step *s, const char *root) {
  PyObject *key, *value;
  Py_ssize_t pos = 0;
  bool first = true;
  if (append(t, "{", 1)) return -1;
  while (PyDict_Next(o, &pos, &key, &value)) {
    if (!(PyType_GetFlags(Py_TYPE(key)) & TPFLAGS_UNICODE)) return refuse(s, root, "dict keys must be str");
    Py_IncRef(key);
    Py_IncRef(value);
    step inner = {s, PyUnicode_AsUTF8AndSize(key, NULL), 0, s ? s->depth + 1 : 1};
    if (!inner.key) {
      PyErr_Clear();
      inner.key = "?";
    }
    int rc = (!first && append(t, ",", 1)) || encode_str(t, key, &inner, root) || append(t, ":", 1) ||
             encode(t, value, &inner, root);
    Py_DecRef(key);
    Py_DecRef(value);
    if (rc) return -1;
    first = false;
  }
  return append(t, "}", 1);
}

static int encode_items(text *t, PyObject *o, bool tuple, const step *s, const char *root) {
  if (append(t, "[", 1)) return -1;
  for (Py_ssize_t i = 0; i < (tuple ? PyTuple_Size(o) : PyList_Size(o)); i++) {
    PyObject *item = tuple ? PyTuple_GetItem(o, i) : PyList_GetItemRef(o, i);
    if (!item) return -1;
    if (tuple) Py_IncRef(item);
    step inner = {s, NULL, i, s ? s->depth + 1 : 1};
    int rc = (i && append(t, ",", 1)) || encode(t, item, &inner, root);
    Py_DecRef(item);
    if (rc) return -1;
  }
  return append(t, "]", 1);
}

static int encode(text *t, PyObject *o, const step *s, const char *root) {
  if (o == Py_None) return append(t, "null", 4);
  if (o == Py_True) return append(t, "true", 4);
  if (o == Py_False) return append(t, "false", 5);
  PyObject *type = Py_TYPE(o);
  unsigned long flags = PyType_GetFlags(type);
  if (flags & TPFLAGS_UNICODE) return encode_str(t, o, s, root);
  if (flags & TPFLAGS_LONG) return encode_int(t, o);
  if (type == PyFloat_Type_ || PyType_IsSubtype(type, PyFloat_Type_)) return encode_float(t, o, s, root);
  if (s && s->depth >= MAX_DEPTH) return refuse(s, root, "nested deeper than 200 levels, or in itself");
  if (flags & TPFLAGS_DICT) return encode_dict(t, o, s, root);
  if (flags & TPFLAGS_LIST) return encode_items(t, o, false, s, root);
  if (flags & TPFLAGS_TUPLE) return encode_items(t, o, true, s, root);
  char why[160];
  PyObject *name = PyType_GetName(type);
  const char *n = name ? PyUnicode_AsUTF8AndSize(name, NULL) : NULL;
  snprintf(why, sizeof why, flags & TPFLAGS_BYTES ? "%.100s is not JSON inside a value; send bytes alone" : "%.100s is not JSON",
           n ? n : "object");
  if (!n) PyErr_Clear();
  if (name) Py_DecRef(name);
  return refuse(s, root, why);
}

int value_encode(text *t, PyObject *o, const char *root) { return encode(t, o, NULL, root); }

int value_pack(text *t, PyObject *o, const char *root, part *out, uint8_t *flags) {
  if (PyType_GetFlags(Py_TYPE(o)) & TPFLAGS_BYTES) {
    char *p;
    Py_ssize_t n;
    if (PyBytes_AsStringAndSize(o, &p, &n)) return -1;
    if (t->max && (size_t)n > t->max) return too_big(t);
    *flags = FLAG_RAW;
    *out = (part){p, (size_t)n};
    return 0;
  }
  if (value_encode(t, o, root)) return -1;
  *flags = 0;
  *out = (part){t->p, t->n};
  return 0;
}
