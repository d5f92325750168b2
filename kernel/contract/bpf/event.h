// What a hook's program hands to a contract's program. The contract is tail-called, so
// nothing is left of the hook but its context: the event lies in a map.
//
// Where: in a BPF_MAP_TYPE_TASK_STORAGE, in the current thread's entry; or, for programs
// with a struct __sk_buff, whose thread is anybody's, in a BPF_MAP_TYPE_ARRAY, in the entry
// whose index the hook has put into skb->cb[0]. A per-CPU map will not do: programs run
// with migration disabled but can be preempted, and the next thread's event would be judged.
//
// The map's values may be longer than this struct, which comes first in them.
#ifndef PYISOLATE_CONTRACT_EVENT_H
#define PYISOLATE_CONTRACT_EVENT_H

// Bytes of a path that contracts look at, with its zero.
#define CONTRACT_PATH 256

// Which program this is for. A contract's program refuses an event of another hook: one
// that was not filled in.
enum contract_hook {
  CONTRACT_OPEN = 1,
  CONTRACT_CONNECT = 2,
  CONTRACT_SEND = 3,
  CONTRACT_FORK = 4,
};

// contract_event.access; as in package policy.
enum contract_access { CONTRACT_READ = 1, CONTRACT_WRITE = 2, CONTRACT_EXECUTE = 4 };

// What the cell has done so far, this event included: a hook counts first and takes what
// its atomic addition returns. Then `opens <= 100` permits exactly 100, also when many
// threads open at once.
struct contract_counters {
  u64 opens;
  u64 connects;
  u64 bytes_sent;     // by CONTRACT_SEND: with this message
  u64 bytes_received;
  u64 cpu;            // nanoseconds
  u64 children;
  u64 denied;         // before this event
};

struct contract_event {
  u32 hook;                          // enum contract_hook
  u32 access;                        // OPEN: enum contract_access, a set
  u16 family;                        // CONNECT, SEND: AF_INET, also for IPv4 inside IPv6; AF_INET6; else 0
  u16 port;                          // CONNECT, SEND: the peer's, in the machine's order
  u16 protocol;                      // CONNECT, SEND: IPPROTO_TCP, IPPROTO_UDP, …
  u16 reserved;                      // 0
  u8 address[16];                    // CONNECT, SEND: the peer's, IPv4 as ::ffff:a.b.c.d
  u32 line;                          // out: the assertion that does not hold, from 1
  u32 column;                        // out: where in the line it begins, from 1
  struct contract_counters counters; // all hooks
  char path[CONTRACT_PATH];          // OPEN: absolute, as the kernel resolves it, ended by a zero.
                                     // Of a longer one the first 255 bytes and a zero; or all of
                                     // it, where the map's values go on.
};

// SEND: family, port and address are those of the message, or those the socket is
// connected to. With family 0 nothing that is said about `connect` is judged: it must have
// been when the socket was connected.
//
// A hook refuses by itself what it cannot tell: a path or an address that is not there.
//
// When an assertion does not hold, the contract's program writes line and column, tail-calls
// the hook's program for refusals, if it was given one, and refuses. The hook does not go on
// after a tail call, so that program takes back what the hook has counted, counts `denied`,
// tells the node, and returns a refusal, too. If the count stayed, one connection too many
// would stop the sending on all others.

#endif
