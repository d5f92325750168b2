// What the programs and the Go side share. Go's sizes are held to these by a test.
#ifndef PYISOLATE_MAPS_H
#define PYISOLATE_MAPS_H

#include "kernel.h"
#include "../../contract/bpf/event.h"

#define CELLS 4096
#define SLOTS 1024
#define SENDS 4096
#define EVENT_PATH 128
#define PATH_KEY 256
#define PATH_MAX 4096
#define RANGES 8

// Kinds of access, as in package policy. MOVE is no rule's: with WRITE, it is to take a path
// away, or to put something else into its place.
enum { READ = 1, WRITE = 2, EXECUTE = 4, MOVE = 8 };

// What a thread is bound to, or a socket was made by. Cells' numbers are used again, lives
// never: a binding of another life than the cell's is to nothing. 0 is none.
struct binding { u32 cell; u32 life; };

// A cell's policy in one word: generation in the upper half, slot + 1 in the lower; 0 denies
// everything.
struct policy { u64 word; u32 life; u32 spare; };

// What a cell did, readable through a mapping. What was refused counts as denied only.
struct usage {
  u64 opens;
  u64 connects; // and datagrams that name their receiver
  u64 denied;
  u64 children; // threads and processes that it started
  u64 sent, received; // bytes of IP packets, with their headers
  u64 cpu;  // nanoseconds
  u64 lost; // events that nobody was told
  u64 slowed; // packets dropped or marked because they came too fast
  u64 sent_until, received_until; // when what went is paid for, by limits.rate
};

// What a slot's policy lets a cell use, 0: all it likes.
struct limits {
  u64 opens;
  u64 connects;
  u64 sent, received;
  u64 cpu;
  u64 rate; // bytes a second, each way
  u64 contracts; // a bit for each hook that has one
};
enum quota { QUOTA_OPENS = 1, QUOTA_CONNECTS, QUOTA_SENT, QUOTA_RECEIVED, QUOTA_CPU };

// What the node was told of a cell.
struct told {
  u64 since; // of the current second
  u32 events; // in it
  u32 generation; // of the policy that quotas are of
  u64 quotas; // a bit for each that was reported
};

// Where a program was called. The numbers are the bits of limits.contracts, too.
enum hook {
  HOOK_OPEN = 1, HOOK_EXECUTE, HOOK_LOOK, HOOK_CHANGE, HOOK_MAP,
  HOOK_SOCKET, HOOK_CONNECT, HOOK_SEND, HOOK_SERVE, HOOK_UNIX, HOOK_RECEIVE,
  HOOK_FORK, HOOK_SIGNAL, HOOK_TRACE, HOOK_CPU, HOOK_OTHER,
  HOOK_CONNECT4, HOOK_CONNECT6, HOOK_SEND4, HOOK_SEND6, HOOK_EGRESS,
};
enum event_kind { EVENT_DENIED = 1, EVENT_OVER = 2, EVENT_CONTRACT = 3, EVENT_ORPHAN = 4 };

// What the node is told.
struct event {
  u64 time; // CLOCK_MONOTONIC, nanoseconds
  u32 cell, thread;
  u16 kind, hook;
  u32 value; // DENIED: the access; OVER: the quota; CONTRACT: line << 16 | column
  u16 family, port; // port in the machine's order
  u32 life; // the cell's
  u8 address[16];
  char path[EVENT_PATH]; // ended by a zero
};

struct path_key { u32 bits; u8 text[PATH_KEY]; };
// length is that of the key, in bytes: where a path has it, too, the rule is the path's own.
// Directories above a rule have rules of their own, which say the same as those above them.
struct path_rule { u16 access, length; };
struct v4_key { u32 bits; u8 address[4]; };
struct v6_key { u32 bits; u8 address[16]; };
struct net_rule { u32 permit; u32 ranges; u16 first[RANGES]; u16 last[RANGES]; };

// What one hook works with: too large for a stack. The event that a contract judges ends
// in a path, which goes on behind it, and is where the kernel writes paths.
struct scratch {
  struct contract_event event;
  char rest[PATH_MAX - CONTRACT_PATH];
  struct path_key key;
};
#define PATH_OF(s) ((char *)(s) + __builtin_offsetof(struct scratch, event.path))

struct {
  __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct binding);
} bindings SEC(".maps");

// The same by thread number, where programs of control groups cannot read the above.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 65536);
  __type(key, u32);
  __type(value, struct binding);
} threads SEC(".maps");

// Which cell made a socket. An accepted one is its listener's.
struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
  __type(key, int);
  __type(value, struct binding);
} sockets SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct scratch);
} scratches SEC(".maps");

// Threads that take their binding at their next prctl: before Linux 6.9 nobody can
// name a thread that is not its process's first.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, CELLS);
  __type(key, u32);
  __type(value, struct binding);
} claims SEC(".maps");

// The node stores cells' policies through a mapping.
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, CELLS);
  __type(key, u32);
  __type(value, struct policy);
} cells SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, CELLS);
  __type(key, u32);
  __type(value, struct usage);
} usages SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, CELLS);
  __type(key, u32);
  __type(value, struct told);
} tolds SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, SLOTS);
  __type(key, u32);
  __type(value, struct limits);
} limits SEC(".maps");

// How many children could not be bound. While there are any nobody may do anything: who
// has no binding may be one of them.
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, u32);
  __type(value, u64);
} orphans SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 20);
} events SEC(".maps");

// A slot's rules. Sizes, not types, for the inner maps: clang 14 wants it so.
struct path_rules {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 16384);
  __uint(key_size, sizeof(struct path_key));
  __uint(value_size, sizeof(struct path_rule));
};
struct v4_rules {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 4096);
  __uint(key_size, sizeof(struct v4_key));
  __uint(value_size, sizeof(struct net_rule));
};
struct v6_rules {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 4096);
  __uint(key_size, sizeof(struct v6_key));
  __uint(value_size, sizeof(struct net_rule));
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, SLOTS);
  __type(key, u32);
  __array(values, struct path_rules);
} paths SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, SLOTS);
  __type(key, u32);
  __array(values, struct v4_rules);
} v4 SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, SLOTS);
  __type(key, u32);
  __array(values, struct v6_rules);
} v6 SEC(".maps");

// A slot's contracts, by hook: the kernel wants all programs of an array to be of one
// kind. The last entry is the hook's program for refusals.
#define CONTRACTS(name)                     \
  struct {                                  \
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);  \
    __uint(max_entries, SLOTS + 1);         \
    __uint(key_size, sizeof(u32));          \
    __uint(value_size, sizeof(u32));        \
  } contracts_##name SEC(".maps")

#endif
