// The part of CPython's C API that cells use, declared here and resolved with
// dlsym: no Python headers, so one binary serves every regular libpython >= 3.14
// (pydist refuses free-threaded ones). Objects are opaque; nothing depends on a struct's
// layout except the few public ones below, which are part of the stable ABI or
// of PEP 741 / PEP 684.
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef struct PyObject PyObject;
typedef struct PyThreadState PyThreadState;
typedef struct PyInterpreterState PyInterpreterState;
typedef struct PyInitConfig PyInitConfig;
typedef struct PyFrameObject PyFrameObject;
typedef intptr_t Py_ssize_t;

typedef struct { int type; const char *func, *err_msg; int exitcode; } PyStatus;
typedef struct {
  int use_main_obmalloc, allow_fork, allow_exec, allow_threads, allow_daemon_threads,
      check_multi_interp_extensions, gil;
} PyInterpreterConfig;
typedef struct {
  void *ctx;
  void *(*malloc)(void *, size_t);
  void *(*calloc)(void *, size_t, size_t);
  void *(*realloc)(void *, void *, size_t);
  void (*free)(void *, void *);
} PyMemAllocatorEx;
typedef struct {
  void *ctx;
  void *(*alloc)(void *, size_t);
  void (*free)(void *, void *, size_t);
} PyObjectArenaAllocator;
typedef PyObject *(*PyCFunction)(PyObject *self, PyObject *args);
typedef struct { const char *ml_name; PyCFunction ml_meth; int ml_flags; const char *ml_doc; } PyMethodDef;
typedef int (*Py_AuditHookFunction)(const char *, PyObject *, void *);

enum { METH_VARARGS = 1, METH_KEYWORDS = 2, METH_NOARGS = 4, METH_O = 8 };
enum { Py_file_input = 257 };
enum { PYMEM_DOMAIN_RAW = 0 };
enum { PyInterpreterConfig_OWN_GIL = 2 };
// Py_TPFLAGS_*_SUBCLASS: which builtin a type derives from.
#define TPFLAGS_LONG (1ul << 24)
#define TPFLAGS_LIST (1ul << 25)
#define TPFLAGS_TUPLE (1ul << 26)
#define TPFLAGS_BYTES (1ul << 27)
#define TPFLAGS_UNICODE (1ul << 28)
#define TPFLAGS_DICT (1ul << 29)

#define PY_FUNCTIONS(X) \
  X(PyInitConfig *, PyInitConfig_Create, (void)) \
  X(void, PyInitConfig_Free, (PyInitConfig *)) \
  X(int, PyInitConfig_SetInt, (PyInitConfig *, const char *, int64_t)) \
  X(int, PyInitConfig_SetStr, (PyInitConfig *, const char *, const char *)) \
  X(int, PyInitConfig_SetStrList, (PyInitConfig *, const char *, size_t, char *const *)) \
  X(int, PyInitConfig_GetError, (PyInitConfig *, const char **)) \
  X(int, Py_InitializeFromInitConfig, (PyInitConfig *)) \
  X(const char *, Py_GetVersion, (void)) \
  X(PyStatus, Py_NewInterpreterFromConfig, (PyThreadState **, const PyInterpreterConfig *)) \
  X(void, Py_EndInterpreter, (PyThreadState *)) \
  X(PyThreadState *, PyEval_SaveThread, (void)) \
  X(void, PyEval_RestoreThread, (PyThreadState *)) \
  X(unsigned, PyType_ClearCache, (void)) \
  X(PyThreadState *, PyThreadState_GetUnchecked, (void)) \
  X(PyInterpreterState *, PyThreadState_GetInterpreter, (PyThreadState *)) \
  X(PyInterpreterState *, PyInterpreterState_Get, (void)) \
  X(PyThreadState *, PyInterpreterState_ThreadHead, (PyInterpreterState *)) \
  X(PyThreadState *, PyThreadState_Next, (PyThreadState *)) \
  X(int, PyUnstable_ThreadState_SetStackProtection, (PyThreadState *, void *, size_t)) \
  X(int, _PyEval_AddPendingCall, (PyInterpreterState *, int (*)(void *), void *, int)) \
  X(int, PyErr_CheckSignals, (void)) \
  X(void, PyOS_AfterFork_Child, (void)) \
  X(void, PyOS_BeforeFork, (void)) \
  X(void, PyOS_AfterFork_Parent, (void)) \
  X(PyObject *, PyEval_EvalCode, (PyObject *, PyObject *, PyObject *)) \
  X(PyFrameObject *, PyEval_GetFrame, (void)) \
  X(PyObject *, PyFrame_GetCode, (PyFrameObject *)) \
  X(PyFrameObject *, PyFrame_GetBack, (PyFrameObject *)) \
  X(PyObject *, Py_CompileString, (const char *, const char *, int)) \
  X(PyObject *, PyImport_AddModuleRef, (const char *)) \
  X(PyObject *, PyImport_ImportModule, (const char *)) \
  X(PyObject *, PyImport_GetModuleDict, (void)) \
  X(PyObject *, PyModule_GetDict, (PyObject *)) \
  X(PyObject *, PyMarshal_WriteObjectToString, (PyObject *, int)) \
  X(PyObject *, PyMarshal_ReadObjectFromString, (const char *, Py_ssize_t)) \
  X(PyObject *, PySys_GetObject, (const char *)) \
  X(int, PySys_SetObject, (const char *, PyObject *)) \
  X(int, PySys_AddAuditHook, (Py_AuditHookFunction, void *)) \
  X(PyObject *, PyObject_GetAttrString, (PyObject *, const char *)) \
  X(int, PyObject_SetAttrString, (PyObject *, const char *, PyObject *)) \
  X(PyObject *, PyObject_GetAttr, (PyObject *, PyObject *)) \
  X(PyObject *, PyObject_Call, (PyObject *, PyObject *, PyObject *)) \
  X(PyObject *, PyObject_CallOneArg, (PyObject *, PyObject *)) \
  X(PyObject *, PyObject_CallNoArgs, (PyObject *)) \
  X(PyObject *, PyObject_CallFunctionObjArgs, (PyObject *, ...)) \
  X(PyObject *, PyObject_Str, (PyObject *)) \
  X(PyObject *, PyObject_Type, (PyObject *)) \
  X(int, PyObject_IsTrue, (PyObject *)) \
  X(PyObject *, Py_TYPE, (PyObject *)) \
  X(Py_ssize_t, Py_REFCNT, (PyObject *)) \
  X(unsigned long, PyType_GetFlags, (PyObject *)) \
  X(PyObject *, PyObject_GenericGetDict, (PyObject *, void *)) \
  X(PyCFunction, PyCFunction_GetFunction, (PyObject *)) \
  X(int, PyType_IsSubtype, (PyObject *, PyObject *)) \
  X(PyObject *, PyType_GetName, (PyObject *)) \
  X(PyObject *, PyCFunction_NewEx, (PyMethodDef *, PyObject *, PyObject *)) \
  X(PyObject *, PyDict_New, (void)) \
  X(PyObject *, PyDict_GetItemString, (PyObject *, const char *)) \
  X(PyObject *, PyDict_GetItemWithError, (PyObject *, PyObject *)) \
  X(int, PyDict_SetItemString, (PyObject *, const char *, PyObject *)) \
  X(int, PyDict_SetItem, (PyObject *, PyObject *, PyObject *)) \
  X(int, PyDict_DelItemString, (PyObject *, const char *)) \
  X(void, PyDict_Clear, (PyObject *)) \
  X(int, PyDict_Next, (PyObject *, Py_ssize_t *, PyObject **, PyObject **)) \
  X(PyObject *, PyList_New, (Py_ssize_t)) \
  X(int, PyList_Append, (PyObject *, PyObject *)) \
  X(int, PyList_Insert, (PyObject *, Py_ssize_t, PyObject *)) \
  X(PyObject *, PyList_GetItem, (PyObject *, Py_ssize_t)) \
  X(PyObject *, PyList_GetItemRef, (PyObject *, Py_ssize_t)) \
  X(PyObject *, PyList_AsTuple, (PyObject *)) \
  X(Py_ssize_t, PyList_Size, (PyObject *)) \
  X(PyObject *, PyTuple_New, (Py_ssize_t)) \
  X(int, PyTuple_SetItem, (PyObject *, Py_ssize_t, PyObject *)) \
  X(PyObject *, PyTuple_GetItem, (PyObject *, Py_ssize_t)) \
  X(Py_ssize_t, PyTuple_Size, (PyObject *)) \
  X(PyObject *, PyBytes_FromStringAndSize, (const char *, Py_ssize_t)) \
  X(int, PyBytes_AsStringAndSize, (PyObject *, char **, Py_ssize_t *)) \
  X(PyObject *, PyBytes_FromObject, (PyObject *)) \
  X(PyObject *, PyUnicode_FromStringAndSize, (const char *, Py_ssize_t)) \
  X(PyObject *, PyUnicode_DecodeUTF8, (const char *, Py_ssize_t, const char *)) \
  X(const char *, PyUnicode_AsUTF8AndSize, (PyObject *, Py_ssize_t *)) \
  X(PyObject *, PyUnicode_AsEncodedString, (PyObject *, const char *, const char *)) \
  X(int, PyUnicode_CompareWithASCIIString, (PyObject *, const char *)) \
  X(PyObject *, PyLong_FromLong, (long)) \
  X(PyObject *, PyLong_FromString, (const char *, char **, int)) \
  X(long, PyLong_AsLong, (PyObject *)) \
  X(PyObject *, PyLong_FromLongLong, (long long)) \
  X(long long, PyLong_AsLongLongAndOverflow, (PyObject *, int *)) \
  X(PyObject *, PyFloat_FromDouble, (double)) \
  X(double, PyFloat_AsDouble, (PyObject *)) \
  X(char *, PyOS_double_to_string, (double, char, int, int, int *)) \
  X(double, PyOS_string_to_double, (const char *, char **, PyObject *)) \
  X(void, PyMem_Free, (void *)) \
  X(PyObject *, PyErr_Occurred, (void)) \
  X(void, PyErr_Clear, (void)) \
  X(void, PyErr_SetString, (PyObject *, const char *)) \
  X(void, PyErr_SetNone, (PyObject *)) \
  X(void, PyErr_SetObject, (PyObject *, PyObject *)) \
  X(PyObject *, PyErr_NoMemory, (void)) \
  X(PyObject *, PyErr_Format, (PyObject *, const char *, ...)) \
  X(PyObject *, PyErr_GetRaisedException, (void)) \
  X(void, PyErr_SetRaisedException, (PyObject *)) \
  X(int, PyErr_GivenExceptionMatches, (PyObject *, PyObject *)) \
  X(PyObject *, PyException_GetTraceback, (PyObject *)) \
  X(PyObject *, PyException_GetCause, (PyObject *)) \
  X(PyObject *, PyException_GetContext, (PyObject *)) \
  X(void, Py_IncRef, (PyObject *)) \
  X(void, Py_DecRef, (PyObject *)) \
  X(void, PyMem_GetAllocator, (int, PyMemAllocatorEx *)) \
  X(void, PyMem_SetAllocator, (int, PyMemAllocatorEx *)) \
  X(void, PyObject_GetArenaAllocator, (PyObjectArenaAllocator *)) \
  X(void, PyObject_SetArenaAllocator, (PyObjectArenaAllocator *)) \
  X(Py_ssize_t, PyGC_Collect, (void)) \
  X(int, PyObject_RichCompareBool, (PyObject *, PyObject *, int)) \
  X(PyObject *, PyFrame_GetVarString, (PyFrameObject *, const char *)) \
  X(PyObject *, PyCapsule_New, (void *, const char *, void (*)(PyObject *))) \
  X(void *, PyCapsule_GetPointer, (PyObject *, const char *)) \
  X(PyObject *, PyInterpreterState_GetDict, (PyInterpreterState *)) \
  X(void, PyObject_GC_UnTrack, (void *)) \
  X(int, PyGC_Enable, (void)) \
  X(int, PyGC_Disable, (void))

#define X(ret, name, args) extern ret(*name) args;
PY_FUNCTIONS(X)
#undef X

// Exception and other type objects, resolved once; immortal in every interpreter.
#define PY_TYPES(X) \
  X(PyExc_BaseException) X(PyExc_Exception) X(PyExc_MemoryError) X(PyExc_RuntimeError) X(PyExc_SyntaxError) \
  X(PyExc_SystemExit) X(PyExc_TypeError) X(PyExc_ValueError) X(PyExc_ImportError) X(PyExc_KeyboardInterrupt) \
  X(PyExc_RecursionError) X(PyExc_OverflowError)
#define X(name) extern PyObject *name;
PY_TYPES(X)
#undef X
extern PyObject *Py_None, *Py_True, *Py_False;

// Types that are the same in every interpreter, by an underscore more than their names.
#define PY_STATIC_TYPES(X) \
  X(PyLong_Type) X(PyFloat_Type) X(PyBool_Type) X(PyUnicode_Type) X(PyBytes_Type) X(PyByteArray_Type) \
  X(PyList_Type) X(PyTuple_Type) X(PyDict_Type) X(PyFunction_Type) X(PyCode_Type)
#define X(name) extern PyObject *name##_;
PY_STATIC_TYPES(X)
#undef X

// Where libpython's code and constants lie in memory; a pointer in here is a
// literal that never moves.
extern uintptr_t py_image_lo, py_image_hi;

// Opens libpython and resolves everything above. Returns 0, or -1 with the
// reason in err. Not thread-safe; called once per process.
int py_load(const char *lib, char *err, size_t errlen);
