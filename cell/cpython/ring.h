// The shared-memory pair of rings between a cell and its host. This header and
// package cell/ring are two views of one layout; change them together.
//
// A region is one memfd: a header with room for the rules of the cell's policy, then the
// in-ring (host to cell), then the out-ring (cell to host), `cap` bytes each, a power of two,
// then room for the next rules. Heads and tails are free-running byte counters; a frame is a 16-byte header and its payload,
// written as a byte stream, so a frame may be larger than the ring.
#pragma once
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define RING_MAGIC 0x31525950u // "PYR1"
#define RING_THREADS 256
#define RING_TRACE 55
#define RING_ALL UINT64_MAX // as ctl_op: all that runs for the guest, now and later
// The first rules are behind the header's words: few share the page with them.
#define RING_RULES_AT 2048
#define RING_RULES 260096
#define RING_HEADER (RING_RULES_AT + RING_RULES)

typedef struct {
  uint32_t magic, cap;
  _Atomic uint32_t state; // enum ring_state, written by the cell
  _Atomic uint32_t tid;   // native thread id of the cell's thread, written by the cell
  uint32_t pad0[12];
  // in-ring: the host advances in_head; the cell advances in_tail.
  _Alignas(64) _Atomic uint32_t in_head; // the cell sleeps on it while empty
  _Atomic uint32_t in_full;              // host: "wake me through the bell when you consume"
  _Alignas(64) _Atomic uint32_t in_tail;
  _Atomic uint32_t in_parked; // cell: asleep on in_head, wake me
  // out-ring: the cell advances out_head; the host advances out_tail.
  _Alignas(64) _Atomic uint32_t out_head;
  _Atomic uint32_t out_full; // cell: asleep on out_tail, wake me
  _Alignas(64) _Atomic uint32_t out_tail;
  _Atomic uint32_t out_parked; // host: asleep on the bell, ring it
  // Control: the host names the operation to interrupt and why, then bumps seq.
  _Alignas(64) _Atomic uint32_t ctl_seq;
  _Atomic uint32_t ctl_reason; // enum cell_kind; 0 means none
  _Atomic uint64_t ctl_op;
  // Accounting, written by the cell (a hostile cell may lie: advisory in the
  // process backend, where the kernel's own limits hold).
  _Alignas(64) _Atomic int64_t mem_used; // start-up not counted
  _Atomic int64_t mem_peak;
  _Atomic uint64_t mem_denied; // allocations refused
  _Atomic uint64_t denials;    // audit and import refusals
  // Native ids of threads the guest started, 0 for none: the host adds their CPU time.
  _Alignas(64) _Atomic uint32_t threads[RING_THREADS];
  _Atomic uint64_t threads_cpu; // ns used by those that have ended
  // Which rules are valid, written by the host at any time: how often they were replaced. Odd
  // ones are in the header, even ones behind the rings. 0: there are none.
  _Alignas(64) _Atomic uint64_t rules;
  uint64_t worker; // its number with the node, written before the cell begins; 0: none
  // The trace context of the operation that runs, written by the host before the operation's
  // frame: RING_TRACE characters of a traceparent. Begins with 0: there is none.
  char trace[56];
} ring_hdr;

_Static_assert(sizeof(ring_hdr) <= RING_RULES_AT, "layout");
_Static_assert(offsetof(ring_hdr, in_head) == 64, "layout");
_Static_assert(offsetof(ring_hdr, in_tail) == 128, "layout");
_Static_assert(offsetof(ring_hdr, out_head) == 192, "layout");
_Static_assert(offsetof(ring_hdr, out_tail) == 256, "layout");
_Static_assert(offsetof(ring_hdr, ctl_seq) == 320, "layout");
_Static_assert(offsetof(ring_hdr, ctl_op) == 328, "layout");
_Static_assert(offsetof(ring_hdr, mem_used) == 384, "layout");
_Static_assert(offsetof(ring_hdr, denials) == 408, "layout");
_Static_assert(offsetof(ring_hdr, threads) == 448, "layout");
_Static_assert(offsetof(ring_hdr, threads_cpu) == 1472, "layout");
_Static_assert(offsetof(ring_hdr, rules) == 1536, "layout");
_Static_assert(offsetof(ring_hdr, worker) == 1544, "layout");
_Static_assert(offsetof(ring_hdr, trace) == 1552, "layout");

enum ring_state { RING_STARTING = 0, RING_IDLE = 1, RING_BUSY = 2, RING_ENDED = 3, RING_FAILED = 4 };

typedef struct {
  uint32_t len; // payload bytes
  uint8_t kind, flags;
  uint16_t aux; // reserved, 0
  uint64_t id;  // operation or question id
} frame_hdr;
_Static_assert(sizeof(frame_hdr) == 16, "layout");

// Host to cell. All integers little-endian.
enum frame_in {
  // u32 policy flags; the rules are in place. Answered by RESULT. Comes first, once.
  IN_CLAIM = 1,
  // u32 file_len, u32 args_len, file, args (JSON array of str), source.
  IN_EXEC = 2,
  // u32 target_len, u32 args_len, u32 kwargs_len, target, args, kwargs.
  // With FLAG_RAW, args is one bytes argument and kwargs is empty.
  IN_CALL = 3,
  // To OUT_RECV or OUT_REQUEST of the same id. Payload is the value; with
  // FLAG_ERROR an error body; with FLAG_NONE nothing (recv timed out).
  IN_ANSWER = 4,
  IN_CLOSE = 5,
  IN_SAVE = 6,    // nothing. Answered by OUT_CHUNKs and then RESULT or ERROR
  IN_RESTORE = 7, // nothing. The cell asks with OUT_MORE, and RESULT or ERROR follows
};

// Cell to host.
enum frame_out {
  OUT_READY = 1,
  OUT_RESULT = 2,  // value
  OUT_ERROR = 3,   // error body; FLAG_NONE: the operation gave up its last OUT_RECV and took no answer
  OUT_POST = 4,    // value
  OUT_LOG = 5,     // u32 level_len, u32 message_len, level, message, fields (JSON object or empty)
  OUT_METRIC = 6,  // f64 value, u32 name_len, name, tags (JSON object or empty)
  OUT_RECV = 7,    // f64 seconds to wait, negative for ever
  OUT_REQUEST = 8, // u32 capability_len, u32 action_len, capability, action, payload value
  OUT_DENIAL = 9,  // u32 capability_len, capability, action
  OUT_ENDED = 10,  // the executor is gone; last frame
  OUT_CHUNK = 11,  // of state: at most RING_CHUNK bytes of pickle, or with FLAG_CODE of marshalled code
  OUT_MORE = 12,   // asks for the next such chunk; the answer's flags are the chunk's, FLAG_NONE behind the last;
                 // with FLAG_RAW they are several, each a u32 length, u8 flags, and so much
};

enum frame_flag {
  FLAG_RAW = 1,        // the value is bytes, not JSON
  FLAG_ERROR = 2,      // IN_ANSWER carries an error body
  FLAG_NONE = 4,       // IN_ANSWER carries nothing
  FLAG_STDIN = 8,      // IN_EXEC: sys.stdin reads the inbox
  FLAG_RESTRICTED = 16, // IN_EXEC: restricted dialect
  FLAG_CODE = 32,       // of a chunk: code, not pickle
  FLAG_PART = 64,       // and it goes on in the next
  FLAG_BOUND = 128      // OUT_RECV: the operation asks, which asks one at a time, and not a thread beside it
};

// The rules begin with this. What follows are the names of modules, each with a NUL behind it,
// and then the rules for files: u8 access, u8 0, u16 length of the path, u16 of the glob, both.
// kernel/policy says which rules decide.
typedef struct {
  uint32_t size; // of all
  uint32_t message_max, children, files;
  uint64_t memory; // bytes the guest may hold
  uint32_t flags;
  uint32_t imports; // bytes of the names
} ring_rules;
_Static_assert(sizeof(ring_rules) == 32, "layout");
enum {
  RULES_NETWORK = 1,     // internet sockets; the kernel judges addresses
  RULES_ALL_IMPORTS = 2, // "*"
};
enum { ACCESS_READ = 1, ACCESS_WRITE = 2, ACCESS_EXECUTE = 4 }; // as in kernel/policy

// IN_CLAIM policy flags.
enum {
  POLICY_SHARED = 1, // other cells live in this process
};

// Error body: u8 kind, u32 type_len, u32 message_len, u32 traceback_len, then the three texts.
// Kinds are those of package cell (cell.Kind).
enum cell_kind {
  KIND_POLICY_DENIED = 1, KIND_POLICY_AUTH, KIND_TIMEOUT, KIND_MEMORY, KIND_CPU, KIND_OUTPUT,
  KIND_CHILDREN, KIND_NETWORK, KIND_GUEST, KIND_GONE, KIND_BUSY, KIND_UNKNOWN_OUTCOME,
  KIND_INVALID, KIND_CANCELLED, KIND_NOT_CHECKPOINTABLE
};
