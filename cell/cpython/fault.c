// Exceptions to error bodies and back. Tracebacks are formatted here, not by
// PyErr_Print: importing traceback costs a cell 1.6 MiB, and nothing here runs
// guest code but str(exception), once, bounded.
#define _GNU_SOURCE
#include "cell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FRAMES 48    // shown; a deeper traceback loses its middle
#define MAX_CHAIN 8      // causes and contexts
#define MAX_MESSAGE 8192 // bytes of str(exception)
#define MAX_TEXT 65536   // bytes of traceback
#define MAX_LINE 200     // bytes of a source line

static void say(text *t, const char *p, size_t n) {
  if (t->n + n > t->cap) n = t->cap - t->n;
  memcpy(t->p + t->n, p, n);
  t->n += n;
}

#define sayf(t, ...) \
  do { \
    char line_[768]; \
    int n_ = snprintf(line_, sizeof line_, __VA_ARGS__); \
    say(t, line_, n_ < (int)sizeof line_ ? (size_t)n_ : sizeof line_ - 1); \
  } while (0)

// str(o) or an attribute's text into out, always NUL-terminated valid UTF-8.
static void text_into(PyObject *o, char *out, size_t cap) {
  PyObject *s = o ? PyObject_Str(o) : NULL, *bytes = NULL;
  char *p = NULL;
  Py_ssize_t n = 0;
  if (s) bytes = PyUnicode_AsEncodedString(s, "utf-8", "backslashreplace");
  if (!bytes || PyBytes_AsStringAndSize(bytes, &p, &n)) {
    PyErr_Clear();
    p = "<exception str() failed>";
    n = (Py_ssize_t)strlen(p);
  }
  size_t take = (size_t)n < cap - 1 ? (size_t)n : cap - 1;
  while (take && take < (size_t)n && ((unsigned char)p[take] & 0xC0) == 0x80) take--; // not inside a character
  memcpy(out, p, take);
  out[take] = 0;
  if (bytes) Py_DecRef(bytes);
  if (s) Py_DecRef(s);
}

static void attr_text(PyObject *o, const char *name, char *out, size_t cap) {
  PyObject *a = PyObject_GetAttrString(o, name);
  out[0] = 0;
  if (!a) {
    PyErr_Clear();
    return;
  }
  if (a != Py_None) text_into(a, out, cap);
  Py_DecRef(a);
}

static long attr_long(PyObject *o, const char *name) {
  PyObject *a = PyObject_GetAttrString(o, name);
  long v = a && (PyType_GetFlags(Py_TYPE(a)) & TPFLAGS_LONG) ? PyLong_AsLong(a) : -1;
  if (PyErr_Occurred()) PyErr_Clear();
  if (a) Py_DecRef(a);
  return v;
}

static void source_line(cell *c, text *t, const char *file, long line) {
  if (!c->source || !c->file || strcmp(file, c->file)) return;
  const char *p = c->source, *end = c->source + c->source_len;
  while (--line > 0 && p) {
    p = memchr(p, '\n', (size_t)(end - p));
    p = p ? p + 1 : NULL;
  }
  if (!p || line < 0 || p >= end) return;
  while (p < end && (*p == ' ' || *p == '\t')) p++;
  const char *stop = memchr(p, '\n', (size_t)(end - p));
  size_t n = (size_t)((stop ? stop : end) - p);
  if (!n) return;
  say(t, "    ", 4);
  say(t, p, n < MAX_LINE ? n : MAX_LINE);
  say(t, "\n", 1);
}

static long traceback_depth(PyObject *tb) {
  long n = 0;
  Py_IncRef(tb);
  while (tb && tb != Py_None) {
    PyObject *next = PyObject_GetAttrString(tb, "tb_next");
    Py_DecRef(tb);
    tb = next;
    n++;
  }
  if (tb) Py_DecRef(tb);
  else PyErr_Clear();
  return n;
}

// Our own support code is not the guest's to debug, nor is the import system.
static bool ours(const char *file) {
  return !strcmp(file, "<pyisolate>") || !strcmp(file, "<pyisolate effects>") || !strncmp(file, "<frozen importlib", 17);
}

static void one_frame(cell *c, text *t, PyObject *tb) {
  PyObject *frame = PyObject_GetAttrString(tb, "tb_frame");
  PyObject *code = frame ? PyObject_GetAttrString(frame, "f_code") : NULL;
  if (code) {
    char file[256], name[128];
    long line = attr_long(tb, "tb_lineno");
    attr_text(code, "co_filename", file, sizeof file);
    attr_text(code, "co_name", name, sizeof name);
    if (!ours(file)) {
      sayf(t, "  File \"%s\", line %ld, in %s\n", file, line, name);
      source_line(c, t, file, line);
    }
  } else
    PyErr_Clear();
  if (code) Py_DecRef(code);
  if (frame) Py_DecRef(frame);
}

static void frames(cell *c, text *t, PyObject *exc) {
  PyObject *tb = PyException_GetTraceback(exc);
  if (!tb) return;
  long depth = traceback_depth(tb);
  say(t, "Traceback (most recent call last):\n", 35);
  for (long i = 0; tb && tb != Py_None; i++) {
    if (depth > MAX_FRAMES && i == MAX_FRAMES / 2) sayf(t, "  [%ld frames not shown]\n", depth - MAX_FRAMES);
    if (i < MAX_FRAMES / 2 || i >= depth - MAX_FRAMES / 2) one_frame(c, t, tb);
    PyObject *next = PyObject_GetAttrString(tb, "tb_next");
    Py_DecRef(tb);
    tb = next;
  }
  if (tb) Py_DecRef(tb);
  else PyErr_Clear();
}

static void type_name(PyObject *exc, char *out, size_t cap) {
  PyObject *name = PyType_GetName(Py_TYPE(exc));
  if (name) text_into(name, out, cap);
  else {
    PyErr_Clear();
    snprintf(out, cap, "Exception");
  }
  if (name) Py_DecRef(name);
}

static void syntax_place(text *t, PyObject *exc) {
  char file[256], line[MAX_LINE + 1];
  attr_text(exc, "filename", file, sizeof file);
  attr_text(exc, "text", line, sizeof line);
  long at = attr_long(exc, "lineno"), offset = attr_long(exc, "offset");
  if (at < 0) return;
  sayf(t, "  File \"%s\", line %ld\n", file, at);
  size_t skip = strspn(line, " \t"), n = strcspn(line, "\n");
  if (n <= skip) return;
  sayf(t, "    %.*s\n", (int)(n - skip), line + skip);
  if (offset > (long)skip && offset <= (long)n + 1) sayf(t, "    %*s\n", (int)(offset - (long)skip), "^");
}

static void format(cell *c, text *t, PyObject *exc, int depth) {
  PyObject *cause = PyException_GetCause(exc);
  PyObject *context = cause ? NULL : PyException_GetContext(exc);
  if (context) { // "raise … from None" hides it
    PyObject *hidden = PyObject_GetAttrString(exc, "__suppress_context__");
    if (!hidden) PyErr_Clear();
    else if (PyObject_IsTrue(hidden) == 1) {
      Py_DecRef(context);
      context = NULL;
    }
    if (hidden) Py_DecRef(hidden);
  }
  PyObject *before = cause ? cause : context;
  if (before && depth < MAX_CHAIN && before != exc) {
    format(c, t, before, depth + 1);
    sayf(t, "\n%s\n\n", cause ? "The above exception was the direct cause of the following exception:"
                              : "During handling of the above exception, another exception occurred:");
  }
  if (before) Py_DecRef(before);
  frames(c, t, exc);
  char type[128], *message = malloc(MAX_MESSAGE);
  if (!message) return;
  type_name(exc, type, sizeof type);
  if (PyErr_GivenExceptionMatches(exc, PyExc_SyntaxError)) {
    syntax_place(t, exc);
    attr_text(exc, "msg", message, MAX_MESSAGE);
  } else
    text_into(exc, message, MAX_MESSAGE);
  sayf(t, "%s%s", type, *message ? ": " : "");
  say(t, message, strlen(message));
  say(t, "\n", 1);
  free(message);
}

static void send_body(cell *c, uint64_t op, uint8_t kind, const char *type, const char *message, const char *tb, size_t tb_len) {
  uint32_t n[3] = {(uint32_t)strlen(type), (uint32_t)strlen(message), (uint32_t)tb_len};
  part parts[] = {{&kind, 1}, {n, sizeof n}, {type, n[0]}, {message, n[1]}, {tb, n[2]}};
  // The operation is over: its interrupt must not cut its own answer short.
  atomic_store(&c->op, 0);
  wire_send(c, OUT_ERROR, c->gave_up ? FLAG_NONE : 0, op, parts, 5);
}

void fault_send_text(cell *c, uint64_t op, uint8_t kind, const char *type, const char *message) {
  send_body(c, op, kind, type, message, "", 0);
}

static uint8_t kind_of(cell *c, PyObject *exc, uint64_t denied_before) {
  // Until they are loaded no guest can raise one of ours.
  PyObject *kinds = c->supported & 1u << SUPPORT_ERRORS ? PyDict_GetItemString(c->guest, "_kind_of") : NULL;
  // A metaclass of the guest's may be asked for a hash, and take all of this apart.
  if (kinds) Py_IncRef(kinds);
  PyObject *kind = kinds ? PyDict_GetItemWithError(kinds, Py_TYPE(exc)) : NULL;
  long number = kind ? PyLong_AsLong(kind) : -1;
  if (kinds) Py_DecRef(kinds);
  PyErr_Clear();
  if (number >= 0 && number <= UINT8_MAX) return (uint8_t)number;
  if (PyErr_GivenExceptionMatches(exc, PyExc_MemoryError) && atomic_load(&c->hdr->mem_denied) > denied_before)
    return KIND_MEMORY;
  return KIND_GUEST;
}

static const char *reason_text(uint8_t reason) {
  switch (reason) {
  case KIND_TIMEOUT: return "the deadline passed";
  case KIND_CPU: return "the CPU budget is used up";
  case KIND_OUTPUT: return "more output than the limit";
  case KIND_CANCELLED: return "the caller withdrew";
  default: return "interrupted";
  }
}

// Writes down what the exception says. Returns its kind.
static uint8_t tell(cell *c, PyObject *exc, text *t, char *type, size_t type_len, char *message) {
  type_name(exc, type, type_len);
  if (PyErr_GivenExceptionMatches(exc, PyExc_SyntaxError)) attr_text(exc, "msg", message, MAX_MESSAGE);
  else text_into(exc, message, MAX_MESSAGE);
  format(c, t, exc, 0);
  uint8_t kind = kind_of(c, exc, c->denied_before);
  if (kind == KIND_MEMORY && !*message) snprintf(message, MAX_MESSAGE, "the guest's memory limit is reached");
  return kind;
}

// The operation goes on until the guest's own code has run: that of what tells about the exception, and what goes
// with it.
void fault_send(cell *c, uint64_t op) {
  c->slack = 1 << 20;
  PyObject *exc = PyErr_GetRaisedException();
  text t = {.p = malloc(MAX_TEXT), .cap = MAX_TEXT};
  char type[128] = "MemoryError", *message = malloc(MAX_MESSAGE);
  bool told = exc && t.p && message;
  uint8_t kind = told ? tell(c, exc, &t, type, sizeof type, message) : KIND_MEMORY;
  if (exc) Py_DecRef(exc);
  PyErr_Clear();
  uint8_t reason = wire_interrupted(c) ? (uint8_t)atomic_load(&c->hdr->ctl_reason) : 0;
  if (atomic_load(&c->hdr->mem_denied) > c->denied_before) PyGC_Collect(); // what the limit was reached with may be garbage now
  PyErr_Clear();
  if (!told) fault_send_text(c, op, reason ? reason : kind, type, "out of memory");
  else if (reason) send_body(c, op, reason, "", reason_text(reason), t.p, t.n);
  else send_body(c, op, kind, type, message, t.p, t.n);
  free(message);
  free(t.p);
  c->slack = 0;
}

// The exception for an error body's kind; kinds without a class of their own are failures
// of what was allowed. word is the broker's finer one, "" when there is none.
static void raise_kind(cell *c, uint8_t kind, const char *word, size_t word_len, PyObject *message) {
  PyObject *kinds = support_name(c, SUPPORT_ERRORS, "_kinds");
  PyObject *key = kinds ? PyLong_FromLong(kind) : NULL;
  PyObject *type = key ? PyDict_GetItemWithError(kinds, key) : NULL;
  if (!type && key) type = PyDict_GetItemString(c->guest, "RequestFailed");
  if (type) Py_IncRef(type);
  if (kinds) Py_DecRef(kinds);
  if (!type) {
    if (key) Py_DecRef(key);
    return;
  }
  PyObject *exc = PyObject_CallOneArg(type, message);
  PyObject *name = exc && word_len ? PyUnicode_DecodeUTF8(word, (Py_ssize_t)word_len, "replace") : NULL;
  if (exc && (!word_len || (name && !PyObject_SetAttrString(exc, "kind", name)))) PyErr_SetObject(type, exc);
  if (name) Py_DecRef(name);
  if (exc) Py_DecRef(exc);
  Py_DecRef(type);
  Py_DecRef(key);
}

void fault_raise(cell *c, const char *body, size_t n) {
  uint32_t len[3];
  bool whole = n >= 1 + sizeof len;
  if (whole) memcpy(len, body + 1, sizeof len);
  if (!whole || (uint64_t)len[0] + len[1] + len[2] != n - 1 - sizeof len) {
    PyErr_SetString(PyExc_RuntimeError, "the host sent a malformed error");
    return;
  }
  const char *word = body + 1 + sizeof len;
  PyObject *message = PyUnicode_DecodeUTF8(word + len[0], len[1], "replace");
  if (!message) return;
  raise_kind(c, (uint8_t)body[0], word, len[0], message);
  Py_DecRef(message);
}
