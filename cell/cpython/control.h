// The control socket between a host and a process it starts for cells: a zygote,
// or a cell that is executed afresh. SOCK_SEQPACKET, one message a packet, native
// byte order:
//   in:  NUL-separated key=value texts: lib, home, stdlib, preload (a,b,c), uid, writes (0 or 1),
//        seccomp and notify (see layers.h) in hexadecimal digits, and landlock, the length of
//        what is read from a descriptor that comes with SCM_RIGHTS: it may be larger than a packet
//   out: "ready\0" pid "\0" why cells cannot have a user of their own, or
//        "error\0" text
//   in:  request with SCM_RIGHTS {region, bell}; a fresh cell takes one
//   out: report of op 1, a zygote's with SCM_RIGHTS {pidfd};
//        from a zygote later one of op 2, once per child
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTROL 3
#define LISTENERS 4 // where the supervisor of notify takes them

typedef struct { char *p; size_t n; } layer;

typedef struct {
  const char *lib, *home, *stdlib, *preload[64];
  int preloads;
  layer landlock, seccomp, notify; // n 0: none
  bool writes;   // files may grow
  uint32_t uid; // one of the users that cells are to run as; 0: none
} config;

typedef struct {
  uint32_t op, id; // op 1
  uint64_t clone_flags, begun; // CLONE_NEW*: wanted, and those the process began in
  uint32_t uid; // user and group of the cell; 0: as it is
  uint32_t own; // no other cell runs as uid
} request;

typedef struct {
  uint32_t op, id; // op 1: started; 2: exited
  int32_t value;   // pid, or the wait status
  int32_t error;   // errno of a failed start
  uint64_t clone_flags; // granted
} report;

void control_config(config *k); // exits when the host is gone
void control_ready(const char *no_user);
void control_die(const char *why) __attribute__((noreturn));
// 1: a request; 0: nothing to act on; -1: the host has hung up.
int control_receive(request *q, int *region, int *bell);
void control_answer(const report *r, int fd); // exits when the host is gone
