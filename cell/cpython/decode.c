// JSON text to Python objects: RFC 8259, with integers of any size exact, and with
// bounded depth. Refused: lone surrogates, and anything after the value.
#define _GNU_SOURCE
#include "cell.h"

#include <stdlib.h>
#include <string.h>

typedef struct { const char *start, *p, *end; int depth; } reader;

static PyObject *bad(reader *r, const char *what) {
  if (!PyErr_Occurred()) PyErr_Format(PyExc_ValueError, "not JSON: %s at byte %zd", what, (Py_ssize_t)(r->p - r->start));
  return NULL;
}

static void blanks(reader *r) {
  while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\t' || *r->p == '\r')) r->p++;
}

static PyObject *decode(reader *r);

static int hex4(const char *p, const char *end, unsigned *out) {
  if (end - p < 4) return -1;
  *out = 0;
  for (int i = 0; i < 4; i++) {
    unsigned char c = (unsigned char)p[i], low = c | 32;
    if (c >= '0' && c <= '9') *out = *out * 16 + (c - '0');
    else if (low >= 'a' && low <= 'f') *out = *out * 16 + (low - 'a' + 10u);
    else return -1;
  }
  return 0;
}

static char *utf8(char *q, unsigned c) {
  if (c < 0x80) *q++ = (char)c;
  else if (c < 0x800) {
    *q++ = (char)(0xc0 | c >> 6);
    *q++ = (char)(0x80 | (c & 63));
  } else if (c < 0x10000) {
    *q++ = (char)(0xe0 | c >> 12);
    *q++ = (char)(0x80 | (c >> 6 & 63));
    *q++ = (char)(0x80 | (c & 63));
  } else {
    *q++ = (char)(0xf0 | c >> 18);
    *q++ = (char)(0x80 | (c >> 12 & 63));
    *q++ = (char)(0x80 | (c >> 6 & 63));
    *q++ = (char)(0x80 | (c & 63));
  }
  return q;
}

// One escape after the backslash, written to *q. -1 when malformed.
static int unescape(reader *r, char **q) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  if (r->p == r->end) return -1;
  const char *at = memchr(from, *r->p, sizeof from - 1);
  if (at) {
    *(*q)++ = to[at - from];
    r->p++;
    return 0;
  }
  unsigned c, low;
  if (*r->p++ != 'u' || hex4(r->p, r->end, &c)) return -1;
  r->p += 4;
  if (c >= 0xd800 && c < 0xdc00) {
    if (r->end - r->p < 6 || r->p[0] != '\\' || r->p[1] != 'u' || hex4(r->p + 2, r->end, &low) || low < 0xdc00 || low > 0xdfff)
      return -1;
    r->p += 6;
    c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
  } else if (c >= 0xdc00 && c < 0xe000)
    return -1;
  *q = utf8(*q, c);
  return 0;
}

static PyObject *decode_str(reader *r) {
  const char *from = ++r->p;
  while (r->p < r->end && *r->p != '"' && *r->p != '\\' && (unsigned char)*r->p >= 0x20) r->p++;
  if (r->p < r->end && *r->p == '"') return PyUnicode_DecodeUTF8(from, r->p++ - from, NULL);
  // An escape never grows the text, so what is left bounds the result.
  char *buf = malloc((size_t)(r->end - from) + 1), *q = buf;
  if (!buf) return PyErr_NoMemory();
  memcpy(q, from, (size_t)(r->p - from));
  q += r->p - from;
  PyObject *s = NULL;
  while (r->p < r->end && (unsigned char)*r->p >= 0x20) {
    char c = *r->p++;
    if (c == '"') {
      s = PyUnicode_DecodeUTF8(buf, q - buf, NULL);
      break;
    }
    if (c != '\\') *q++ = c;
    else if (unescape(r, &q)) break;
  }
  free(buf);
  return s ? s : bad(r, "unfinished or malformed string");
}

// Advances over digits; false when there is none.
static bool digits(reader *r) {
  const char *from = r->p;
  while (r->p < r->end && *r->p >= '0' && *r->p <= '9') r->p++;
  return r->p > from;
}

static PyObject *decode_number(reader *r) {
  const char *from = r->p;
  bool real = false;
  if (*r->p == '-') r->p++;
  const char *lead = r->p;
  if (!digits(r) || (*lead == '0' && r->p - lead > 1)) return bad(r, "malformed number");
  if (r->p < r->end && *r->p == '.') {
    real = true;
    r->p++;
    if (!digits(r)) return bad(r, "malformed number");
  }
  if (r->p < r->end && (*r->p == 'e' || *r->p == 'E')) {
    real = true;
    r->p++;
    if (r->p < r->end && (*r->p == '+' || *r->p == '-')) r->p++;
    if (!digits(r)) return bad(r, "malformed number");
  }
  size_t n = (size_t)(r->p - from);
  char small[64], *z = n < sizeof small ? small : malloc(n + 1);
  if (!z) return PyErr_NoMemory();
  memcpy(z, from, n);
  z[n] = 0;
  PyObject *o = NULL;
  if (!real) o = PyLong_FromString(z, NULL, 10);
  else {
    double d = PyOS_string_to_double(z, NULL, PyExc_OverflowError);
    if (!(d == -1 && PyErr_Occurred())) o = PyFloat_FromDouble(d);
  }
  if (z != small) free(z);
  return o;
}

static PyObject *decode_list(reader *r) {
  PyObject *list = PyList_New(0);
  r->p++;
  blanks(r);
  if (list && r->p < r->end && *r->p == ']') {
    r->p++;
    return list;
  }
  while (list) {
    PyObject *item = decode(r);
    if (!item || PyList_Append(list, item)) {
      if (item) Py_DecRef(item);
      break;
    }
    Py_DecRef(item);
    blanks(r);
    char c = r->p < r->end ? *r->p : 0;
    r->p++;
    if (c == ']') return list;
    if (c != ',') {
      bad(r, "expected ',' or ']'");
      break;
    }
  }
  if (list) Py_DecRef(list);
  return NULL;
}

static int decode_pair(reader *r, PyObject *dict) {
  blanks(r);
  if (r->p == r->end || *r->p != '"') {
    bad(r, "expected a string key");
    return -1;
  }
  PyObject *key = decode_str(r), *value = NULL;
  int rc = -1;
  if (key) {
    blanks(r);
    if (r->p == r->end || *r->p != ':') bad(r, "expected ':'");
    else {
      r->p++;
      value = decode(r);
    }
  }
  if (value) rc = PyDict_SetItem(dict, key, value);
  if (key) Py_DecRef(key);
  if (value) Py_DecRef(value);
  return rc;
}

static PyObject *decode_dict(reader *r) {
  PyObject *dict = PyDict_New();
  r->p++;
  blanks(r);
  if (dict && r->p < r->end && *r->p == '}') {
    r->p++;
    return dict;
  }
  while (dict && !decode_pair(r, dict)) {
    blanks(r);
    char c = r->p < r->end ? *r->p : 0;
    r->p++;
    if (c == '}') return dict;
    if (c != ',') {
      bad(r, "expected ',' or '}'");
      break;
    }
  }
  if (dict) Py_DecRef(dict);
  return NULL;
}

static PyObject *word(reader *r, const char *w, PyObject *value) {
  size_t n = strlen(w);
  if ((size_t)(r->end - r->p) < n || memcmp(r->p, w, n)) return bad(r, "unknown word");
  r->p += n;
  Py_IncRef(value);
  return value;
}

static PyObject *decode(reader *r) {
  blanks(r);
  if (r->p >= r->end) return bad(r, "text ends");
  switch (*r->p) {
  case '"': return decode_str(r);
  case 'n': return word(r, "null", Py_None);
  case 't': return word(r, "true", Py_True);
  case 'f': return word(r, "false", Py_False);
  case '[':
  case '{': {
    if (++r->depth > MAX_DEPTH) return bad(r, "nested deeper than 200 levels");
    PyObject *o = *r->p == '[' ? decode_list(r) : decode_dict(r);
    r->depth--;
    return o;
  }
  case '-': case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
    return decode_number(r);
  }
  return bad(r, "unexpected character");
}

PyObject *value_decode(const char *p, size_t n) {
  reader r = {p, p, p + n, 0};
  PyObject *o = decode(&r);
  if (!o) return NULL;
  blanks(&r);
  if (r.p == r.end) return o;
  Py_DecRef(o);
  return bad(&r, "text after the value");
}

PyObject *value_unpack(const char *p, size_t n, uint8_t flags) {
  return flags & FLAG_RAW ? PyBytes_FromStringAndSize(p, (Py_ssize_t)n) : value_decode(p, n);
}
