// One cell as the C side sees it, and the modules that make it up. Data flows
// one way: loop -> (guest, value, fault) -> wire; policy and memory are called by
// CPython through hooks and look the cell up from the running thread.
#pragma once
#include "pyapi.h"
#include "ring.h"

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>

#define CELL_COMM "pyisolate-cell" // what ps and top call a cell's thread

typedef struct { void *p; size_t n; } page_run;

typedef struct cell cell;
typedef struct state_move state_move;
struct cell {
  struct cell *next; // in the registry
  uintptr_t serial;  // no other has the same, before or after it
  // Rings. hdr is NULL once the host has been told that the cell ended.
  ring_hdr *hdr;
  char *in, *out; // cap bytes each
  const char *rules[2]; // RING_RULES bytes each, by the lowest bit of hdr->rules
  uint32_t mask;
  int bell; // eventfd to the host
  _Atomic uint32_t looks_missed, looks_turn; // of looks before sleeping
  _Atomic uint32_t sending;  // who may write to the out-ring
  _Atomic uint32_t received; // counts what was read; those who let others read sleep on it
  pthread_mutex_t inbox;     // guards the rest; zero is unlocked
  struct letter *questions, *operations; // that wait for their answer; that wait for the loop
  bool reading;
  int readers_waiting;
  uint64_t last_question;

  // Accounting. Blocks outlive the interpreter now and then (CPython keeps some
  // process-wide), so a cell struct is freed only when used is back to zero.
  _Atomic int64_t used;
  int64_t base; // used at the claim; before it there is no limit
  int64_t peak;
  int64_t slack;       // extra room while our own code reports an error
  int64_t room;        // and while it loads parts of itself
  page_run pages[8];   // whole pages taken before the claim, until the first rest
  size_t n_pages;
  void *unused;        // lookups that nobody has made, lent to the cell at its first rest
  _Atomic int mappings; // that the guest has made
  bool collector_waits;
  uint64_t space; // bytes of address space at the start; 0: not known, or not the cell's alone

  // Set once by IN_CLAIM.
  bool claimed, shared;
  bool counted; // RLIMIT_NPROC counts this cell's threads and no others
  int begun; // threads that are being started
  _Atomic int threads; // that began on the cell's threads and have not ended
  _Atomic int foreign; // of these, what C libraries started
  int implicit; // inside an import that CPython's C code asked for

  // The operation that is running; 0 when idle.
  _Atomic uint64_t op;
  bool gave_up;        // its last OUT_RECV: what was sent in answer is not lost if the host hears of it
  _Atomic bool dying;  // unwind everything and end
  _Atomic bool ending; // inside the interpreter's own end
  bool starting;       // inside the interpreter's own start
  void (*begin)(cell *c); // called at the claim; may be NULL
  void (*rest)(cell *c); // called when nothing has come for a while; may be NULL
  _Atomic int armed;  // injections queued
  PyThreadState *ts;
  PyInterpreterState *interp;
  unsigned long thread; // pthread_t of the cell's thread
  void *stack; // its lowest address; NULL: not known
  size_t stack_size;
  pthread_mutex_t *poking; // held by whoever pokes at the interpreter from outside

  // Borrowed from the interpreter for its life.
  PyObject *main_dict; // __main__.__dict__
  PyObject *guest;     // dict of the guest support module
  PyObject *main_module, *guest_module; // owned, for the two
  PyObject *namespace; // types.SimpleNamespace
  PyObject *interrupt; // exception raised by injections
  PyObject *denied, *import_denied; // exception types, owned; NULL until SUPPORT_ERRORS is loaded
  PyObject *stdout_kept, *stderr_kept; // the streams it begins with, owned
  unsigned supported; // bits by support_part
  PyObject *real_import, *real_lazy_import, *real_find_and_load, *real_create_builtin, *real_create_dynamic,
      *real_exec_builtin, *real_exec_dynamic, *real_loads, *real_rename, *real_coroutine, *real_start_new, *real_start_joinable,
      *real_stack_size;
  bool vouched; // the next event that tells of code is of code that our own has judged

  // The source run last, for traceback lines.
  char *file, *source;
  size_t source_len;
  uint64_t denied_before; // mem_denied when the operation began
  struct state_move *moving; // NULL unless a state is taken out or put in
};

// The running thread's cell, or NULL on threads that run no guest.
cell *cell_current(void);
void cell_bind(cell *c); // makes c the calling thread's cell
// The registry lets threads that a guest started find their cell.
void cell_register(cell *c);
void cell_unregister(cell *c);
void cell_join(uintptr_t serial); // counts the calling thread, which is new, as one of that cell's

// ---- support.c: Python code of ours in the support module -----------------------------------
typedef enum {
  SUPPORT_GUEST, SUPPORT_ERRORS, SUPPORT_STREAMS, SUPPORT_DIALECT, SUPPORT_EFFECTS,
  SUPPORT_LOAD, SUPPORT_NAMES, SUPPORT_SAVE, SUPPORT_INSTANCES, SUPPORT_FIND, SUPPORT_SNAPSHOT
} support_part;

int support_compile(void); // once per process, in the main interpreter; 0, or -1 with an exception
// Runs a part's code unless it has run. 0, or -1 with an exception.
int support_load(cell *c, support_part p);
int support_load_named(cell *c, const char *part);
int support_load_all(cell *c);
// What a part defines, which the guest may replace while it is used. A new reference, or NULL with an exception.
PyObject *support_name(cell *c, support_part p, const char *name);
// Calls it with up to three arguments, NULL for none. A new reference, or NULL with an exception.
PyObject *support_call(cell *c, support_part p, const char *name, PyObject *a, PyObject *b, PyObject *d);

// ---- wire.c: frames over the rings -------------------------------------------------------
typedef struct { const void *p; size_t n; } part;
typedef struct { frame_hdr h; char *data; } frame; // data is malloc'd, NUL after its end

int wire_attach(cell *c, void *region, size_t size, int bell); // 0, or -1: not a region
// Blocks while the ring is full. false: the cell is dying or the operation was interrupted.
bool wire_send(cell *c, uint8_t kind, uint8_t flags, uint64_t id, const part *parts, int n);
// Never blocks: false when it does not fit.
bool wire_try_send(cell *c, uint8_t kind, uint8_t flags, uint64_t id, const part *parts, int n);
// The next operation; blocks with the GIL released. false: dying or a broken frame.
bool wire_receive(cell *c, frame *f);
// Waits for a frame with the GIL released. false: none has begun to come in that time.
bool wire_await(cell *c, long nanoseconds);
void wire_drop(cell *c); // forgets operations that nobody will run
// Sends a question and waits for its answer, whose data the caller frees. false: as wire_send.
bool wire_ask(cell *c, uint8_t kind, uint8_t flags, const part *parts, int n, frame *answer);
bool wire_interrupted(cell *c); // the host wants the running operation stopped, or all
bool wire_stopped(cell *c);     // and what the calling thread does: threads beside an operation outlive it
bool wire_pursued(cell *c);     // for threads that run no guest: something runs that is to stop
void wire_wake(cell *c);        // from any thread: makes blocked calls look again

// ---- encode.c, decode.c: JSON text <-> Python objects ------------------------------------
#define MAX_DEPTH 200 // levels of nesting that may cross
typedef struct { char *p; size_t n, cap, max; } text; // grows up to max; a large one counts as the guest's memory
void text_free(text *t);
// Appends o as JSON. -1 with a Python exception naming the path under root.
int value_encode(text *t, PyObject *o, const char *root);
// New reference, or NULL with ValueError.
PyObject *value_decode(const char *p, size_t n);
// Encodes o as bytes (FLAG_RAW) or JSON. -1 with an exception. The parts live in t or o.
int value_pack(text *t, PyObject *o, const char *root, part *out, uint8_t *flags);
PyObject *value_unpack(const char *p, size_t n, uint8_t flags);

// ---- fault.c: exceptions -> error bodies -------------------------------------------------
// Takes the raised exception and sends it as OUT_ERROR for op.
void fault_send(cell *c, uint64_t op);
void fault_send_text(cell *c, uint64_t op, uint8_t kind, const char *type, const char *message);
// Raises the error body that the host sent.
void fault_raise(cell *c, const char *body, size_t n);

// ---- guest.c: what guest code can call ----------------------------------------------------
int guest_install(cell *c); // into the current interpreter; 0, or -1 with an exception
int guest_hold(cell *c); // sees to it that the interpreter's end gives up what the cell holds; 0 or -1

// ---- policy.c: audit hook; gate.c: imports -------------------------------------
void policy_init(const char *stdlib); // before initialisation
int policy_hook(const char *event, PyObject *args, void *unused);
// Raises PolicyDenied (or its import flavour) and reports it. Always -1.
int policy_deny(cell *c, const char *capability, const char *action);
bool policy_in_stdlib(const char *path, size_t n);
// The name of the module that is this file of the library's. false: it is in no such place.
bool policy_module_of(const char *path, char name[PATH_MAX]);
// ---- rules.c: what the cell's policy gives, as the host last wrote it ------------------------
bool rules_permit(const cell *c, const char *path, size_t n, unsigned access);
bool rules_network(const cell *c);
// "a.b" grants a.b, everything below it, and its parents on the way.
bool rules_import(const cell *c, const char *name);
int64_t rules_memory(const cell *c); // bytes the guest may hold; any number after the cell's end
uint32_t rules_message_max(const cell *c); // bytes of one value
uint32_t rules_children(const cell *c); // threads beside the cell's own
uint32_t rules_files(const cell *c); // descriptors it may have open
// ---- glob.c: the patterns of kernel/policy ---------------------------------------------------
// Does the glob match the path, or with below a directory above it? The glob may change meanwhile.
bool glob_match(const char *glob, size_t m, const char *path, size_t n, bool below);
int gate_install(cell *c); // wraps import machinery, removes what no guest may have
bool gate_trusted_frame(void);
bool gate_trusted_name(PyObject *file);
bool gate_trusted_code(PyObject *code); // the library's, or ours
bool gate_library_names(const char *name);
int gate_check_import(cell *c, const char *name); // 0, or -1 with ImportDenied
int gate_check_guest(cell *c, const char *name);  // the same, judged as the guest's own wish
bool gate_grants_guest(const cell *c, const char *name); // asks, and denies nothing
int gate_check_module(cell *c, const char *name); // may its code be had? 0, or -1 with ImportDenied
const char *gate_text(PyObject *o); // of a str, borrowed; else NULL, without an exception
// Puts a function of ours in place of the module's, and keeps the first that was there.
int gate_wrap(PyObject *dict, PyMethodDef *def, PyObject **real);
bool gate_reserved(const char *name); // no guest gets the module
PyObject *gate_argument(PyObject *args, PyObject *kwargs, Py_ssize_t i, const char *key); // borrowed, or NULL
PyObject *gate_call(PyObject *real, PyObject *args, PyObject *kwargs);
// ---- modules.c: built-in and native modules ----------------------------------------------------
int modules_wrap(cell *c, PyObject *imp);
PyObject *modules_pickle(PyObject *self, PyObject *lent);
// ---- code.c: code that is not compiled from a guest's source, and the names of code ----------
int code_wrap(cell *c, const char *module, PyObject *dict); // what the module makes or names code with
PyObject *code_load(cell *c, const char *p, Py_ssize_t n);  // unmarshals code that has been judged
bool code_vouched(cell *c);
// ---- children.c: the threads of a guest ------------------------------------------------------------
int children_alive(const cell *c); // threads with a Python state, beside the cell's own
int children_check(cell *c); // may one more begin? 0, or -1 with ChildWorkExceeded
void children_ended(cell *c); // the calling thread, of the cell c unless that is gone
int children_wrap(cell *c, PyObject *thread); // what _thread starts threads with, and sets their stacks; 0 or -1
// ---- removals.c ------------------------------------------------------------------------------
int removals_apply(const char *module, PyObject *dict); // takes away what no guest may have of it; 0, or -1: some of it is there

// ---- memory.c ------------------------------------------------------------------------------
void memory_share(void); // before the first cell, in a process that has several
void memory_hook(void); // before initialisation
void *memory_resize(void *p, size_t n); // as realloc, of what counts as the running cell's memory; NULL: it does not fit
void memory_free(void *p);
void memory_hold_collector(cell *c); // attached to a new interpreter
void memory_grows(cell *c); // lets the collector work, if it was held
void memory_rest(cell *c); // no other thread may use the interpreter
bool memory_map_stack(void); // may a guest's thread begin?
void memory_unmap_stack(void);
void memory_finish(cell *c); // after the interpreter's end; frees c when it holds nothing

// ---- lookups.c -------------------------------------------------------------------------------
void lookups_prepare(void); // before the first cell
void lookups_borrow(cell *c); // in a new cell's thread, before its interpreter
void lookups_lend(cell *c); // attached, with a cache that is clear; no other thread may use the interpreter
void lookups_forget(cell *c); // gives back what was borrowed and not lent

// ---- runtime.c -----------------------------------------------------------------------------
// Starts CPython and leaves the calling thread attached. 0, or -1 with err.
int runtime_init(const char *home, const char *stdlib, char *err, size_t errlen);

// ---- loop.c --------------------------------------------------------------------------------
void loop_run(cell *c);      // serves frames until the cell is closed or dying
void loop_warm(cell *c);
void loop_finish(cell *c);   // after loop_run: takes the guest's objects down
void loop_inject(cell *c);   // from any thread: interrupt what runs
void loop_stack_bounds(cell *c);
void loop_begin(cell *c, uint64_t op);
// Ends an operation with its result, which it takes, or with the exception there is when that is NULL; one that was
// interrupted is answered so. What the guest's objects run when they go is a part of it, under its limits: nothing of
// the guest's is left to run behind the answer. max: bytes of the result.
void loop_answer(cell *c, uint64_t op, PyObject *result, size_t max);

// ---- state.c: the guest's state, out and in ---------------------------------------------------
void state_run(cell *c, const frame *f); // IN_SAVE and IN_RESTORE
bool state_busy(const cell *c); // true, with an exception: nothing may be said or asked
PyObject *state_write(PyObject *self, PyObject *data);
PyObject *state_save_code(PyObject *self, PyObject *code);
PyObject *state_read(PyObject *self, PyObject *unused);
PyObject *state_code(PyObject *self, PyObject *number);
PyObject *state_whole(PyObject *self, PyObject *unused);
// ---- plain.c: what a state has once, and is not remembered -------------------------------------
int plain_init(void); // attached to the main interpreter, before any guest; 0 or -1
// plain(names, name, simple): (classes that were met and are none of simple, what is to be pickled before the value so that
// it needs no memo, how many objects that saves). Instead of the second, None: it is not worth while.
PyObject *state_plain(PyObject *self, PyObject *args);
PyObject *state_reducer(PyObject *self, PyObject *pickler); // the pickler's reducer_override
PyObject **state_simple(void); // of state.c: where a save keeps `simple`; NULL with an exception
