//go:build ignore

// The programs of a control group and of tracepoints. Beside the LSM's some of them only
// count; where no LSM programs load, all of them are what there is: they judge the network
// by the current thread's cell, as the LSM does, and pass bindings on.
#include "verdict.h"

char LICENSE[] SEC("license") = "GPL";

CONTRACTS(connect4);
CONTRACTS(connect6);
CONTRACTS(send4);
CONTRACTS(send6);
CONTRACTS(egress);

// Events of packets: a packet's context has no thread, and so no scratch of one.
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, SENDS);
  __type(key, u32);
  __type(value, struct contract_event);
} sends SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, u32);
  __type(value, u32);
} tickets SEC(".maps");

// Programs of control groups cannot read task storage: bindings are found by number.
const volatile bool by_thread = false;

// Since Linux 6.13.
extern int bpf_send_signal_task(struct task_struct *task, int sig, enum pid_type type, u64 value) __ksym __weak;

static __always_inline struct binding *binding_of(struct task_struct *task) {
  if (!by_thread) return bpf_task_storage_get(&bindings, task, 0, 0);
  u32 thread = task->pid;
  return bpf_map_lookup_elem(&threads, &thread);
}

static __always_inline struct binding *mine(void) { return binding_of((void *)bpf_get_current_task_btf()); }

// ---- network -----------------------------------------------------------------------------------------

enum { REFUSE = 0, PERMIT = 1 };
// For packets that go out: TCP is to send less from now on. Its own drops it sends again.
enum { DROP_AND_SLOW = 2, PERMIT_AND_SLOW = 3 };

// A thread without a binding is let through, but for when children were lost.
static __always_inline int unbound(void) {
  u32 zero = 0;
  u64 *lost = bpf_map_lookup_elem(&orphans, &zero);
  return lost && !*lost ? PERMIT : REFUSE;
}

static __always_inline struct scratch *scratch(void) {
  return bpf_task_storage_get(&scratches, (void *)bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

#define HAS_ADDRESS(section, name, hook, kind, array, what, fill)                      \
  SEC("cgroup/" section)                                                               \
  int name(struct bpf_sock_addr *ctx) {                                                \
    struct binding *b = mine();                                                        \
    if (!b) return unbound();                                                          \
    struct cell c;                                                                     \
    look_up(b, &c);                                                    \
    struct address a = {.port = (u16)ctx->user_port};                                  \
    fill(&a, ctx);                                                                     \
    if (judge_address(&c, &a, hook)) return REFUSE;                                    \
    if (!has_contract(&c, what)) return PERMIT;                                        \
    struct scratch *s = by_thread ? 0 : scratch();                                     \
    if (s && c.usage) {                                                                \
      fill_event(&s->event, &c, kind);                                                 \
      fill_address(&s->event, &a, ctx->protocol);                                      \
      s->event.counters.connects = c.now;                                              \
      bpf_tail_call(ctx, &contracts_##array, c.slot);                                  \
    }                                                                                  \
    deny(&c, hook);                                                                    \
    return REFUSE;                                                                     \
  }                                                                                    \
  /* Not attached: the last entry of the contracts' array. */                          \
  SEC("cgroup/" section)                                                               \
  int refused_##array(struct bpf_sock_addr *ctx) {                                     \
    struct binding *b = mine();                                                        \
    struct scratch *s = by_thread ? 0 : scratch();                                     \
    if (!b || !s) return REFUSE;                                                       \
    struct cell c;                                                                     \
    look_up(b, &c);                                                                    \
    refused(&c, hook, &s->event, 0);                                                   \
    return REFUSE;                                                                     \
  }

static __always_inline void fill4(struct address *a, struct bpf_sock_addr *ctx) {
  u32 address = ctx->user_ip4;
  a->family = AF_INET;
  __builtin_memcpy(a->v4, &address, 4);
}

static __always_inline void fill6(struct address *a, struct bpf_sock_addr *ctx) {
  u32 address[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]};
  a->family = AF_INET6;
  __builtin_memcpy(a->v6.address, address, 16);
}

HAS_ADDRESS("connect4", on_connect4, HOOK_CONNECT, CONTRACT_CONNECT, connect4, HOOK_CONNECT4, fill4)
HAS_ADDRESS("connect6", on_connect6, HOOK_CONNECT, CONTRACT_CONNECT, connect6, HOOK_CONNECT6, fill6)
HAS_ADDRESS("sendmsg4", on_sendmsg4, HOOK_SEND, CONTRACT_SEND, send4, HOOK_SEND4, fill4)
HAS_ADDRESS("sendmsg6", on_sendmsg6, HOOK_SEND, CONTRACT_SEND, send6, HOOK_SEND6, fill6)

static __always_inline int refuse_bound(void) {
  struct binding *b = mine();
  if (!b) return unbound();
  struct cell c;
  look_up(b, &c);
  deny(&c, HOOK_SERVE);
  return REFUSE;
}

SEC("cgroup/bind4") int on_bind4(struct bpf_sock_addr *ctx) { return refuse_bound(); }
SEC("cgroup/bind6") int on_bind6(struct bpf_sock_addr *ctx) { return refuse_bound(); }

// Its bytes are charged to who made it, whoever sends them, and in whatever context.
SEC("cgroup/sock_create")
int on_sock_create(struct bpf_sock *sock) {
  struct binding *b = mine();
  if (!b) return unbound();
  struct cell c;
  look_up(b, &c);
  u32 type = sock->type, protocol = sock->protocol;
  bool known = (type == SOCK_STREAM && protocol == IPPROTO_TCP) || (type == SOCK_DGRAM && protocol == IPPROTO_UDP);
  if (!known || !has_policy(&c)) {
    deny(&c, HOOK_SOCKET);
    return REFUSE;
  }
  return bpf_sk_storage_get(&sockets, sock, &c.self, BPF_LOCAL_STORAGE_GET_F_CREATE) ? PERMIT : REFUSE;
}

// ---- bytes -------------------------------------------------------------------------------------------

// The cell that a packet's socket is of.
static __always_inline bool tagged(struct __sk_buff *skb, struct cell *c) {
  struct bpf_sock *sock = skb->sk;
  if (!sock) return false;
  sock = bpf_sk_fullsock(sock);
  if (!sock) return false;
  struct binding *maker = bpf_sk_storage_get(&sockets, sock, 0, 0);
  if (!maker) return false;
  look_up(maker, c);
  return true;
}

static __always_inline struct contract_event *next_send(struct __sk_buff *skb) {
  u32 zero = 0;
  u32 *ticket = bpf_map_lookup_elem(&tickets, &zero);
  if (!ticket) return 0;
  u32 at = __sync_fetch_and_add(ticket, 1) % SENDS;
  skb->cb[0] = at;
  return bpf_map_lookup_elem(&sends, &at);
}

// Does the packet name hops before its receiver, or options for them? Then it may go to
// others first than those whose addresses were judged.
static __always_inline bool routed(struct __sk_buff *skb) {
  u8 head[7]; // of IPv4 version and length, of IPv6 version to next header
  if (bpf_skb_load_bytes(skb, 0, head, sizeof head)) return true;
  if (head[0] >> 4 == 4) return head[0] != 0x45;
  return head[6] == IPPROTO_HOPOPTS || head[6] == IPPROTO_ROUTING || head[6] == IPPROTO_DSTOPTS;
}

// How far ahead of the rate a cell may be: what comes at once, beside one packet. From the half
// on TCP is told.
#define AHEAD (SECOND / 4)

// How many nanoseconds the cell is ahead of its rate.
static __always_inline u64 ahead(struct cell *c, u64 *until) {
  u64 now = bpf_ktime_get_ns(), at = *(volatile u64 *)until;
  if (at > now) return at - now;
  __sync_val_compare_and_swap(until, at, now); // what was not used is lost
  return 0;
}

static __always_inline void pay(struct cell *c, u64 *until, u64 bytes) {
  if (c->limits->rate) __sync_fetch_and_add(until, bytes * SECOND / c->limits->rate);
}

SEC("cgroup_skb/egress")
int on_egress(struct __sk_buff *skb) {
  struct cell c;
  if (!tagged(skb, &c)) return PERMIT;
  if (!has_policy(&c) || routed(skb)) {
    deny(&c, HOOK_SEND | PACKET);
    return REFUSE;
  }
  u64 early = c.limits->rate ? ahead(&c, &c.usage->sent_until) : 0;
  if (early > AHEAD / 2) __sync_fetch_and_add(&c.usage->slowed, 1);
  if (early > AHEAD) return DROP_AND_SLOW;
  if (!charge(&c, &c.usage->sent, skb->len, c.limits->sent)) {
    over(&c, HOOK_SEND | PACKET, QUOTA_SENT);
    return REFUSE;
  }
  pay(&c, &c.usage->sent_until, skb->len);
  if (!has_contract(&c, HOOK_EGRESS)) return early > AHEAD / 2 ? PERMIT_AND_SLOW : PERMIT;
  struct contract_event *e = next_send(skb);
  if (e) {
    fill_event(e, &c, CONTRACT_SEND);
    e->counters.bytes_sent = c.now;
    bpf_tail_call(skb, &contracts_egress, c.slot);
  }
  deny(&c, HOOK_SEND | PACKET);
  return REFUSE;
}

SEC("cgroup_skb/egress")
int refused_egress(struct __sk_buff *skb) {
  struct cell c;
  u32 at = skb->cb[0];
  struct contract_event *e = bpf_map_lookup_elem(&sends, &at);
  if (!e || !tagged(skb, &c) || !c.usage || !c.limits) return REFUSE;
  u64 bytes = skb->len; // it was paid for, and goes nowhere
  __sync_fetch_and_add(&c.usage->sent, -bytes);
  if (c.limits->rate) __sync_fetch_and_add(&c.usage->sent_until, -(bytes * SECOND / c.limits->rate));
  refused(&c, HOOK_SEND | PACKET, e, 0);
  return REFUSE;
}

SEC("cgroup_skb/ingress")
int on_ingress(struct __sk_buff *skb) {
  struct cell c;
  if (!tagged(skb, &c)) return PERMIT;
  if (!has_policy(&c)) {
    deny(&c, HOOK_RECEIVE | PACKET);
    return REFUSE;
  }
  if (c.limits->rate && ahead(&c, &c.usage->received_until) > AHEAD) {
    __sync_fetch_and_add(&c.usage->slowed, 1);
    return REFUSE; // who sends it sends it again, later
  }
  if (!charge(&c, &c.usage->received, skb->len, c.limits->received)) {
    over(&c, HOOK_RECEIVE | PACKET, QUOTA_RECEIVED);
    return REFUSE;
  }
  pay(&c, &c.usage->received_until, skb->len);
  return PERMIT;
}

// ---- threads -----------------------------------------------------------------------------------------

static __always_inline bool inherit(struct task_struct *task, struct binding *b) {
  if (by_thread) {
    u32 thread = task->pid;
    struct binding copy = *b;
    return !bpf_map_update_elem(&threads, &thread, &copy, 0);
  }
  struct binding *n = bpf_task_storage_get(&bindings, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (!n) return false;
  *n = *b;
  return true;
}

// What a bound thread starts is bound, or dies: nobody can forbid it here. It has not run
// yet.
SEC("tp_btf/task_newtask")
int BPF_PROG(on_newtask, struct task_struct *task) {
  struct binding *b = mine();
  if (!b) return 0;
  struct cell c;
  u32 zero = 0;
  look_up(b, &c);
  if (c.usage) __sync_fetch_and_add(&c.usage->children, 1);
  if (inherit(task, b)) return 0;
  tell(b, EVENT_ORPHAN << 16 | HOOK_FORK, 0, 0, 0);
  if (bpf_send_signal_task && !bpf_send_signal_task(task, SIGKILL, PIDTYPE_TGID, 0)) return 0;
  u64 *lost = bpf_map_lookup_elem(&orphans, &zero);
  if (lost) __sync_fetch_and_add(lost, 1);
  bpf_send_signal(SIGKILL); // the parent, and the child if it is a thread of it
  return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task) {
  u32 thread = task->pid;
  bpf_map_delete_elem(&threads, &thread);
  return 0;
}

// Called at each tick and each switch, with what the thread has run since the last call.
SEC("tp_btf/sched_stat_runtime")
int BPF_PROG(on_runtime, struct task_struct *task, u64 runtime) {
  struct binding *b = binding_of(task);
  if (!b) return 0;
  struct cell c;
  look_up(b, &c);
  if (!c.usage) return 0;
  u64 now = __sync_fetch_and_add(&c.usage->cpu, runtime) + runtime;
  if (c.limits && c.limits->cpu && now >= c.limits->cpu) tell_over(&c.self, QUOTA_CPU << 16 | HOOK_CPU);
  return 0;
}
