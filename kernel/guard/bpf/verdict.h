// What both ways to attach have in common: whose thread it is, what its cell has left, what
// the node is told, and verdicts on addresses. A verdict is 0 or -EACCES.
#ifndef PYISOLATE_VERDICT_H
#define PYISOLATE_VERDICT_H

#include "maps.h"

// Events of one cell in a second; of more only the number is told.
#define EVENTS_A_SECOND 100
#define SECOND 1000000000ull

// A cell as one verdict sees it. The slot is read once: all rules are of one policy.
// usage is 0 where the cell is no more, limits where it has no policy.
struct cell {
  struct binding self;
  u32 slot;
  struct usage *usage;
  struct limits *limits;
  u64 now; // what is used of what was charged last
  u32 has; // the access to the path that was judged last
};

// An address, as in struct sockaddr_in and sockaddr_in6.
struct address {
  u16 family, port;
  union {
    u8 v4[4];
    struct { u32 flow; u8 address[16]; } v6;
  };
};

// ---- events ----------------------------------------------------------------------------------------

static __always_inline bool is_mapped(const u8 *v6) {
  const u32 *w = (const u32 *)v6;
  return !w[0] && !w[1] && w[2] == __builtin_bswap32(0xffff); // ::ffff:a.b.c.d
}

// A flag of hooks: the program is called for a packet, in anybody's context.
#define PACKET 0x8000

// Returns whether the node will hear of it.
static __noinline int tell(const struct binding *of, u32 kind_hook, u32 value, const struct address *a, const char *path) {
  if (!of) return 0;
  // First, while kind_hook is in a register: an older verifier does not remember that it has
  // PACKET, by which programs that may not ask for the thread do not.
  u32 thread = kind_hook & PACKET ? 0 : (u32)bpf_get_current_pid_tgid();
  u32 kind = kind_hook >> 16, cell = of->cell;
  struct told *t = bpf_map_lookup_elem(&tolds, &cell);
  struct usage *u = bpf_map_lookup_elem(&usages, &cell);
  if (!t || !u) return 0;
  u64 now = bpf_ktime_get_ns();
  if (kind == EVENT_DENIED || kind == EVENT_CONTRACT) {
    if (now - t->since > SECOND) {
      t->since = now;
      t->events = 0;
    }
    if (__sync_fetch_and_add(&t->events, 1) >= EVENTS_A_SECOND) goto lost;
  }
  struct event *e = bpf_ringbuf_reserve(&events, sizeof *e, 0);
  if (!e) goto lost;
  __builtin_memset(e, 0, sizeof *e);
  e->time = now;
  e->cell = cell;
  e->life = of->life;
  e->thread = thread;
  e->kind = kind;
  e->hook = kind_hook & (PACKET - 1);
  e->value = value;
  if (a) {
    e->family = a->family;
    e->port = __builtin_bswap16(a->port);
    if (a->family == AF_INET6) __builtin_memcpy(e->address, a->v6.address, 16);
    else __builtin_memcpy(e->address, a->v4, 4);
  }
  if (path) bpf_probe_read_kernel_str(e->path, sizeof e->path, path);
  bpf_ringbuf_submit(e, 0);
  return 1;
lost:
  __sync_fetch_and_add(&u->lost, 1);
  return 0;
}

static __always_inline int deny_with(struct cell *c, u32 hook, u32 value, const struct address *a, const char *path) {
  if (c->usage) {
    __sync_fetch_and_add(&c->usage->denied, 1);
    tell(&c->self, EVENT_DENIED << 16 | hook, value, a, path);
  }
  return -EACCES;
}

static __always_inline int deny(struct cell *c, u32 hook) { return deny_with(c, hook, 0, 0, 0); }

// Tells once for each policy that a quota is used up: again when there was no room, since the
// node ends cells by it. Quota and hook are one word so that it stays in a register, for the
// reason that tell gives.
static __noinline int tell_over(const struct binding *of, u32 quota_hook) {
  if (!of) return 0;
  u32 cell = of->cell, quota = quota_hook >> 16;
  struct told *t = bpf_map_lookup_elem(&tolds, &cell);
  struct policy *p = bpf_map_lookup_elem(&cells, &cell);
  if (!t || !p) return 0;
  u32 generation = *(volatile u64 *)&p->word >> 32;
  if (t->generation != generation) { // of two that see it here both may tell
    t->generation = generation;
    t->quotas = 0;
  }
  u64 bit = 1ull << (quota & 63);
  if (__sync_fetch_and_or(&t->quotas, bit) & bit) return 0;
  if (!tell(of, EVENT_OVER << 16 | (quota_hook & 0xffff), quota, 0, 0)) __sync_fetch_and_and(&t->quotas, ~bit);
  return 0;
}

static __always_inline int over(struct cell *c, u32 hook, enum quota quota) {
  if (c->usage) __sync_fetch_and_add(&c->usage->denied, 1);
  tell_over(&c->self, quota << 16 | hook);
  return -EACCES;
}

// ---- cells -----------------------------------------------------------------------------------------

static __always_inline void look_up(const struct binding *b, struct cell *c) {
  c->self = *b;
  c->slot = SLOTS;
  c->has = 0;
  c->limits = 0;
  c->usage = 0;
  u32 index = b->cell;
  struct policy *p = bpf_map_lookup_elem(&cells, &index);
  if (!p || !b->life) return;
  // The word first: that the cell still lives afterwards says that the word is its own, and
  // not that of the next cell of its number. The address depends on the word, always by 0,
  // so that no processor reads the life first.
  u64 word = *(volatile u64 *)&p->word, zero = word;
  asm volatile("%0 &= 0" : "+r"(zero));
  if (*(volatile u32 *)((char *)&p->life + zero) != b->life) return;
  c->usage = bpf_map_lookup_elem(&usages, &index);
  if (!c->usage) return;
  u32 slot = (u32)word - 1;
  c->limits = bpf_map_lookup_elem(&limits, &slot);
  if (!c->limits || (c->limits->cpu && c->usage->cpu >= c->limits->cpu)) return;
  c->slot = slot;
}

// May the cell do anything at all? Not without a policy, and not when its time is used up.
static __always_inline bool has_policy(struct cell *c) { return c->slot < SLOTS && c->usage && c->limits; }

// Adds n to what is used unless that would be more than the limit.
static __always_inline bool charge(struct cell *c, u64 *used, u64 n, u64 limit) {
  c->now = __sync_fetch_and_add(used, n) + n;
  if (!limit || c->now <= limit) return true;
  __sync_fetch_and_add(used, -n);
  return false;
}

// ---- addresses -------------------------------------------------------------------------------------

static __always_inline struct net_rule *rule_v4(u32 slot, const u8 *address) {
  void *rules = bpf_map_lookup_elem(&v4, &slot);
  if (!rules) return 0;
  struct v4_key k = {.bits = 32};
  __builtin_memcpy(k.address, address, 4);
  return bpf_map_lookup_elem(rules, &k);
}

static __always_inline struct net_rule *rule_v6(u32 slot, const u8 *address) {
  if (is_mapped(address)) return rule_v4(slot, address + 12);
  void *rules = bpf_map_lookup_elem(&v6, &slot);
  if (!rules) return 0;
  struct v6_key k = {.bits = 128};
  __builtin_memcpy(k.address, address, 16);
  return bpf_map_lookup_elem(rules, &k);
}

// Is it 0.0.0.0 or ::? After the programs were asked the kernel puts another into its place,
// loopback or the socket's own, so that no rule is about where it leads.
static __always_inline bool is_unspecified(const struct address *a) {
  if (a->family == AF_INET) return !*(const u32 *)a->v4;
  const u32 *w = (const u32 *)a->v6.address;
  return !w[0] && !w[1] && !w[3] && (!w[2] || is_mapped(a->v6.address));
}

// May the cell talk to a? Counts a connection when it may.
static __noinline int judge_address(struct cell *c, struct address *a, u32 hook) {
  if (!c || !a) return -EACCES;
  if (!has_policy(c) || is_unspecified(a)) return deny_with(c, hook, 0, a, 0);
  struct net_rule *r = a->family == AF_INET ? rule_v4(c->slot, a->v4) : a->family == AF_INET6 ? rule_v6(c->slot, a->v6.address) : 0;
  if (!r || !r->permit) return deny_with(c, hook, 0, a, 0);
  u16 port = __builtin_bswap16(a->port);
  bool fits = r->ranges == 0;
  for (u32 i = 0; i < RANGES; i++)
    if (i < r->ranges && port >= r->first[i] && port <= r->last[i]) fits = true;
  if (!fits) return deny_with(c, hook, 0, a, 0);
  return charge(c, &c->usage->connects, 1, c->limits->connects) ? 0 : over(c, hook, QUOTA_CONNECTS);
}

// ---- contracts -------------------------------------------------------------------------------------

static __always_inline bool has_contract(struct cell *c, u32 hook) { return c->limits && c->limits->contracts >> hook & 1; }

// Everything of an event that is not about what is opened or reached.
static __always_inline void fill_event(struct contract_event *e, struct cell *c, enum contract_hook hook) {
  e->hook = hook;
  e->access = 0;
  e->family = e->port = e->protocol = e->reserved = 0;
  e->line = e->column = 0;
  e->counters.opens = c->usage->opens;
  e->counters.connects = c->usage->connects;
  e->counters.bytes_sent = c->usage->sent;
  e->counters.bytes_received = c->usage->received;
  e->counters.cpu = c->usage->cpu;
  e->counters.children = c->usage->children;
  e->counters.denied = c->usage->denied;
}

static __always_inline void fill_address(struct contract_event *e, const struct address *a, u16 protocol) {
  e->port = __builtin_bswap16(a->port);
  e->protocol = protocol;
  e->family = a->family;
  if (a->family == AF_INET6) {
    __builtin_memcpy(e->address, a->v6.address, 16);
    if (is_mapped(a->v6.address)) e->family = AF_INET;
    return;
  }
  __builtin_memset(e->address, 0, 10);
  e->address[10] = e->address[11] = 0xff;
  __builtin_memcpy(e->address + 12, a->v4, 4);
}

// Takes back what the refused event was charged, counts and tells.
static __always_inline int refused(struct cell *c, u32 hook, const struct contract_event *e, const char *path) {
  struct usage *u = c->usage;
  if (!u) return -EACCES;
  if (hook == HOOK_OPEN) __sync_fetch_and_add(&u->opens, -1);
  else if (hook == HOOK_FORK) __sync_fetch_and_add(&u->children, -1);
  else if (e->family) __sync_fetch_and_add(&u->connects, -1);
  __sync_fetch_and_add(&u->denied, 1);
  tell(&c->self, EVENT_CONTRACT << 16 | hook, e->line << 16 | (e->column & 0xffff), 0, path);
  return -EACCES;
}

#endif
