// What the parts of the audit hook share.
#pragma once
#include "cell.h"

typedef struct rule rule;

// Denies the event by its rule; detail may be NULL. Always -1.
int policy_deny_event(cell *c, const rule *r, const char *event, const char *detail);
// The str, bytes or os.PathLike-free path at args[i]; NULL when it is none.
const char *policy_path(PyObject *args, Py_ssize_t i, size_t *n);
long policy_int(PyObject *args, Py_ssize_t i, long missing);

// As below.
int code_check_compile(cell *c, const rule *r, PyObject *args);
int code_check_load(cell *c, const rule *r, const char *event, PyObject *args);

// 0, or -1 with an exception. dir is where the directory's descriptor is among args.
int files_check_room(cell *c, const rule *r, const char *event); // for one more open file
int files_check_open(cell *c, const rule *r, const char *event, PyObject *args);
int files_check_read(cell *c, const rule *r, const char *event, PyObject *args);
int files_check_change(cell *c, const rule *r, const char *event, PyObject *args, int dir);
int files_check_rename(cell *c, const rule *r, const char *event, PyObject *args);
int files_check_socket(cell *c, const rule *r, const char *event, PyObject *args);
