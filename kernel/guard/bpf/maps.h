// What the programs and the Go side share. Go's sizes are held to these by a test.
#ifndef PYISOLATE_MAPS_H
#define PYISOLATE_MAPS_H

#include "kernel.h"

#define CELLS 4096
#define SLOTS 1024
#define PATH_KEY 256
#define PATH_MAX 4096
#define RANGES 8

// Kinds of access, as in package policy.
enum { READ = 1, WRITE = 2, EXECUTE = 4 };

// A thread's binding. It is made by the node, or inherited.
struct binding { u32 cell; u32 bound; };

// What a cell did, readable through a mapping.
struct usage { u64 opens; u64 connects; u64 denied; };

struct path_key { u32 bits; u8 text[PATH_KEY]; };
struct v4_key { u32 bits; u8 address[4]; };
struct v6_key { u32 bits; u8 address[16]; };
struct net_rule { u32 permit; u32 ranges; u16 first[RANGES]; u16 last[RANGES]; };

// A path as the kernel tells it, and the key made of it: too large for a stack.
struct scratch { char path[PATH_MAX]; struct path_key key; };

struct {
  __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct binding);
} bindings SEC(".maps");

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
  __type(value, u32);
} claims SEC(".maps");

// Each cell's policy in one word: generation in the upper half, slot + 1 in the lower;
// 0 denies everything. The node stores it through a mapping.
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, CELLS);
  __type(key, u32);
  __type(value, u64);
} cells SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, CELLS);
  __type(key, u32);
  __type(value, struct usage);
} usages SEC(".maps");

// A slot's rules. Sizes, not types, for the inner maps: clang 14 wants it so.
struct path_rules {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 4096);
  __uint(key_size, sizeof(struct path_key));
  __uint(value_size, sizeof(u32));
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

#endif
