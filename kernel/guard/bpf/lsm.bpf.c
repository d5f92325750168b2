//go:build ignore

// The programs: each judges what the current thread is about to do by the policy of the
// cell it is bound to. A thread without a binding is let through; a binding without a
// policy, a path that cannot be told and a map that is not there deny.
#include "verdict.h"

char LICENSE[] SEC("license") = "GPL";

CONTRACTS(open);
CONTRACTS(connect);
CONTRACTS(send);
CONTRACTS(fork);

// Since Linux 6.12. Before it, only some hooks can be told a path (bpf_d_path).
extern int bpf_path_d_path(const struct path *path, char *buf, unsigned long buf__sz) __ksym __weak;

// Fills c with the current thread's cell, if it is bound.
static __always_inline bool bound(struct cell *c) {
  struct binding *b = bpf_task_storage_get(&bindings, (void *)bpf_get_current_task_btf(), 0, 0);
  if (!b) return false;
  look_up(b, c);
  return true;
}

static __always_inline struct scratch *scratch(void) {
  return bpf_task_storage_get(&scratches, (void *)bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

// What nothing permits.
#define REFUSE(hook, name, what)             \
  SEC("lsm/" #hook)                          \
  int BPF_PROG(name) {                       \
    struct cell c;                           \
    return bound(&c) ? deny(&c, what) : 0;   \
  }

// ---- paths -----------------------------------------------------------------------------------------

// Does the cell have the access to the path in s, of length bytes without its end?
static __noinline int judge_path(struct cell *c, struct scratch *s, u32 length, u32 hook_access) {
  if (!c || !s) return -EACCES;
  u32 hook = hook_access >> 16, access = hook_access & 0xffff;
  char *path = PATH_OF(s);
  // Pipes, sockets and what is outside of the thread's root have no slash at the front.
  if (!has_policy(c) || path[0] != '/') return deny_with(c, hook, access, 0, path);
  void *rules = bpf_map_lookup_elem(&paths, &c->slot);
  if (!rules) return deny_with(c, hook, access, 0, path);
  if (length > PATH_KEY - 1) length = PATH_KEY - 1;
  __builtin_memset(s->key.text, 0, PATH_KEY);
  if (bpf_probe_read_kernel(s->key.text, length & (PATH_KEY - 1), path)) return deny_with(c, hook, access, 0, path);
  // Rules end in a slash, and so does the key: /data does not fit /database.
  s->key.text[length & (PATH_KEY - 1)] = '/';
  s->key.bits = PATH_KEY * 8;
  struct path_rule *rule = bpf_map_lookup_elem(rules, &s->key);
  u32 needs = access & ~MOVE;
  if (!rule || (rule->access & needs) != needs) return deny_with(c, hook, access, 0, path);
  // What a rule is for, or lies above one, stays: its rule would be that of what comes next.
  if (access & MOVE && rule->length == length + 1) return deny_with(c, hook, access, 0, path);
  c->has = rule->access;
  return 0;
}

// For the hooks that may ask bpf_d_path.
static __always_inline int judge(struct cell *c, struct path *p, enum hook hook, u32 access) {
  struct scratch *s = scratch();
  if (!s) return deny(c, hook);
  long n = bpf_d_path(p, PATH_OF(s), PATH_MAX);
  if (n <= 0) return deny(c, hook);
  return judge_path(c, s, n - 1, hook << 16 | access);
}

// For those that may not: a path, and in it, perhaps, a name. Where the kernel cannot
// tell the path nothing can be made, renamed or removed.
static __always_inline int judge_in(struct cell *c, const struct path *p, struct dentry *child, u32 access) {
  if (!bpf_path_d_path) return deny(c, HOOK_CHANGE);
  struct scratch *s = scratch();
  if (!s) return deny(c, HOOK_CHANGE);
  char *path = PATH_OF(s);
  int n = bpf_path_d_path(p, path, PATH_MAX);
  if (n <= 0) return deny(c, HOOK_CHANGE);
  u32 end = n - 1; // the zero
  if (!child) return judge_path(c, s, end, HOOK_CHANGE << 16 | access);
  if (end < 1 || end > PATH_MAX - 260) return deny(c, HOOK_CHANGE);
  if (end > 1) { // else it is the root, and has one
    path[end & (PATH_MAX - 1)] = '/';
    end++;
  }
  // The compiler knows that this changes nothing; the verifier must see it done.
  asm volatile("%0 &= 4095" : "+r"(end));
  long more = bpf_probe_read_kernel_str(&path[end], 256, BPF_CORE_READ(child, d_name.name));
  if (more <= 1) return deny(c, HOOK_CHANGE);
  return judge_path(c, s, end + (u32)more - 1, HOOK_CHANGE << 16 | access);
}

SEC("lsm/file_open")
int BPF_PROG(on_file_open, struct file *file) {
  struct cell c;
  if (!bound(&c)) return 0;
  u32 access = 0;
  if (file->f_mode & FMODE_WRITE || file->f_flags & O_TRUNC) access |= WRITE; // also O_RDONLY empties
  if (file->f_mode & FMODE_EXEC) access |= EXECUTE;
  if (file->f_mode & FMODE_READ || !access) access |= READ;
  int no = judge(&c, &file->f_path, HOOK_OPEN, access);
  if (no || !has_policy(&c)) return -EACCES;
  if (!charge(&c, &c.usage->opens, 1, c.limits->opens)) return over(&c, HOOK_OPEN, QUOTA_OPENS);
  if (!has_contract(&c, HOOK_OPEN)) return 0;
  struct scratch *s = scratch();
  if (!s) return deny(&c, HOOK_OPEN);
  fill_event(&s->event, &c, CONTRACT_OPEN);
  s->event.access = access;
  s->event.counters.opens = c.now;
  bpf_tail_call(ctx, &contracts_open, c.slot);
  return deny(&c, HOOK_OPEN);
}

SEC("lsm/bprm_check_security")
int BPF_PROG(on_exec, struct linux_binprm *bprm) {
  struct cell c;
  return bound(&c) ? judge(&c, &bprm->file->f_path, HOOK_EXECUTE, EXECUTE) : 0;
}

SEC("lsm/inode_getattr")
int BPF_PROG(on_getattr, struct path *path) {
  struct cell c;
  // Looking is not reading: only a cell without a policy may not even look.
  return bound(&c) && !has_policy(&c) ? deny(&c, HOOK_LOOK) : 0;
}

#define IN_DIRECTORY(hook, name, access)                                 \
  SEC("lsm/" #hook)                                                      \
  int BPF_PROG(name, const struct path *dir, struct dentry *child) {     \
    struct cell c;                                                       \
    return bound(&c) ? judge_in(&c, dir, child, access) : 0;             \
  }
IN_DIRECTORY(path_mknod, on_mknod, WRITE)
IN_DIRECTORY(path_mkdir, on_mkdir, WRITE)
IN_DIRECTORY(path_unlink, on_unlink, WRITE | MOVE)
IN_DIRECTORY(path_rmdir, on_rmdir, WRITE | MOVE)

// Nothing gains by its new path, nor does what it changes places with.
SEC("lsm/path_rename")
int BPF_PROG(on_rename, const struct path *from, struct dentry *old, const struct path *to, struct dentry *new) {
  struct cell c;
  if (!bound(&c)) return 0;
  if (!bpf_path_d_path) return deny(&c, HOOK_CHANGE);
  int no = judge_in(&c, from, old, WRITE | MOVE);
  if (no) return no;
  u32 had = c.has;
  no = judge_in(&c, to, new, WRITE | MOVE);
  if (no) return no;
  u32 gained = c.has & ~had;
  if (ctx[4] & RENAME_EXCHANGE) gained = c.has ^ had; // since Linux 5.19; paths are told later
  return gained ? deny(&c, HOOK_CHANGE) : 0;
}

// A hard link gives a file a second path, and the hook does not tell the first; a symbolic
// one in the place of a rule's path would give the next cell what it leads to.
REFUSE(path_link, on_link, HOOK_CHANGE)
REFUSE(path_symlink, on_symlink, HOOK_CHANGE)

#define OF_PATH(hook, name)                           \
  SEC("lsm/" #hook)                                   \
  int BPF_PROG(name, const struct path *path) {       \
    struct cell c;                                    \
    return bound(&c) ? judge_in(&c, path, 0, WRITE) : 0; \
  }
OF_PATH(path_truncate, on_truncate)
OF_PATH(path_chmod, on_chmod)
OF_PATH(path_chown, on_chown)

// Code comes from files that may be executed.
SEC("lsm/mmap_file")
int BPF_PROG(on_mmap, struct file *file, unsigned long asked, unsigned long prot) {
  if (!(prot & PROT_EXEC)) return 0;
  struct cell c;
  if (!bound(&c)) return 0;
  return file ? judge(&c, &file->f_path, HOOK_MAP, EXECUTE) : deny(&c, HOOK_MAP);
}

SEC("lsm/file_mprotect")
int BPF_PROG(on_mprotect, struct vm_area_struct *area, unsigned long asked, unsigned long prot) {
  if (!(prot & PROT_EXEC)) return 0;
  struct cell c;
  return bound(&c) ? deny(&c, HOOK_MAP) : 0;
}

// ---- network -----------------------------------------------------------------------------------------

// The address of a system call, of length bytes. Other families are others' to judge.
static __always_inline int judge_sockaddr(struct cell *c, const void *from, int length, enum hook hook, struct address *a) {
  u32 n = length;
  if (n > sizeof *a) n = sizeof *a;
  if (n < 2 || bpf_probe_read_kernel(a, n, from)) return deny(c, hook);
  if (a->family == AF_UNSPEC && hook == HOOK_CONNECT) return 0; // disconnects
  if (a->family == AF_UNSPEC) a->family = AF_INET;              // sendto: the kernel takes it so
  if (a->family == AF_UNIX) return 0;                           // unix_* judge these
  bool whole = a->family == AF_INET ? n >= 8 : a->family == AF_INET6 && n >= 24;
  return whole ? judge_address(c, a, hook) : deny(c, hook);
}

static __always_inline bool internet(u16 family) { return family == AF_INET || family == AF_INET6; }

SEC("lsm/socket_create")
int BPF_PROG(on_socket, int family, int type, int protocol, int kern) {
  if (kern) return 0;
  struct cell c;
  if (!bound(&c)) return 0;
  type &= 0xf;
  bool known = type == SOCK_STREAM || type == SOCK_DGRAM;
  // SCTP connects by a socket option, past on_connect; 0 is TCP or UDP.
  if (internet(family)) known = known && (!protocol || protocol == (type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP));
  else if (family != AF_UNIX) known = false;
  return has_policy(&c) && known ? 0 : deny(&c, HOOK_SOCKET);
}

// Its bytes are charged to who made it, whoever sends them, and in whatever context.
SEC("lsm/socket_post_create")
int BPF_PROG(on_socket_made, struct socket *sock, int family, int type, int protocol, int kern) {
  struct cell c;
  if (kern || !internet(family) || !bound(&c)) return 0;
  struct sock *sk = sock->sk;
  return sk && bpf_sk_storage_get(&sockets, sk, &c.self, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -ENOMEM;
}

SEC("lsm/socket_connect")
int BPF_PROG(on_connect, struct socket *sock, struct sockaddr *address, int length) {
  struct cell c;
  struct address a = {};
  if (!bound(&c)) return 0;
  int no = judge_sockaddr(&c, address, length, HOOK_CONNECT, &a);
  if (no) return no;
  if (!internet(a.family) || !has_contract(&c, HOOK_CONNECT)) return 0;
  struct scratch *s = scratch();
  struct sock *sk = sock->sk;
  if (!s || !sk || !c.usage) return deny(&c, HOOK_CONNECT);
  fill_event(&s->event, &c, CONTRACT_CONNECT);
  fill_address(&s->event, &a, sk->sk_protocol);
  s->event.counters.connects = c.now;
  bpf_tail_call(ctx, &contracts_connect, c.slot);
  return deny(&c, HOOK_CONNECT);
}

SEC("lsm/socket_sendmsg")
int BPF_PROG(on_sendmsg, struct socket *sock, struct msghdr *message, int size) {
  struct cell c;
  struct address a = {};
  if (!bound(&c)) return 0;
  struct sock *sk = sock->sk;
  if (!has_policy(&c) || !sk) return deny(&c, HOOK_SEND);
  // A message's own options can name a route.
  if (message->msg_controllen && internet(sk->__sk_common.skc_family)) return deny(&c, HOOK_SEND);
  void *to = message->msg_name;
  int no = to ? judge_sockaddr(&c, to, message->msg_namelen, HOOK_SEND, &a) : 0;
  if (no) return no;
  if (!has_contract(&c, HOOK_SEND)) return 0;
  struct scratch *s = scratch();
  if (!s || !c.usage) return deny(&c, HOOK_SEND);
  fill_event(&s->event, &c, CONTRACT_SEND);
  if (internet(a.family)) {
    fill_address(&s->event, &a, sk->sk_protocol);
    s->event.counters.connects = c.now;
  }
  s->event.counters.bytes_sent += (u32)size;
  bpf_tail_call(ctx, &contracts_send, c.slot);
  return deny(&c, HOOK_SEND);
}

// Does the option choose where packets go first, whatever address they are for?
static __always_inline bool routes(int level, int option) {
  switch (level) {
    case SOL_SOCKET: return option == SO_BINDTODEVICE || option == SO_BINDTOIFINDEX;
    case SOL_IP: return option == IP_OPTIONS;
    case SOL_IPV6:
      return option == IPV6_RTHDR || option == IPV6_HOPOPTS || option == IPV6_DSTOPTS || option == IPV6_RTHDRDSTOPTS ||
             option == IPV6_2292PKTOPTIONS;
  }
  return false;
}

SEC("lsm/socket_setsockopt")
int BPF_PROG(on_setsockopt, struct socket *sock, int level, int option) {
  struct cell c;
  return routes(level, option) && bound(&c) ? deny(&c, HOOK_SOCKET) : 0;
}

// To serve, and to talk to others on the machine.
REFUSE(socket_bind, on_bind, HOOK_SERVE)
REFUSE(socket_listen, on_listen, HOOK_SERVE)
REFUSE(unix_stream_connect, on_unix_connect, HOOK_UNIX)
REFUSE(unix_may_send, on_unix_send, HOOK_UNIX)

// ---- others ------------------------------------------------------------------------------------------

REFUSE(bpf, on_bpf, HOOK_OTHER)
REFUSE(sb_mount, on_mount, HOOK_OTHER)
REFUSE(move_mount, on_move_mount, HOOK_OTHER)
REFUSE(userns_create, on_userns, HOOK_OTHER)
REFUSE(uring_override_creds, on_ring_creds, HOOK_OTHER)
REFUSE(uring_sqpoll, on_ring_poll, HOOK_OTHER)
REFUSE(uring_cmd, on_ring_command, HOOK_OTHER)

static __always_inline int same_cell(struct cell *c, struct task_struct *other, enum hook hook) {
  struct binding *o = bpf_task_storage_get(&bindings, other, 0, 0);
  return o && o->cell == c->self.cell && o->life == c->self.life ? 0 : deny(c, hook);
}

SEC("lsm/task_kill")
int BPF_PROG(on_kill, struct task_struct *target) {
  struct cell c;
  return bound(&c) ? same_cell(&c, target, HOOK_SIGNAL) : 0;
}

SEC("lsm/ptrace_access_check")
int BPF_PROG(on_ptrace, struct task_struct *target) {
  struct cell c;
  return bound(&c) ? same_cell(&c, target, HOOK_TRACE) : 0;
}

// What a bound thread starts is bound, or is not started.
SEC("lsm/task_alloc")
int BPF_PROG(on_fork, struct task_struct *task) {
  struct cell c;
  struct binding *b = bpf_task_storage_get(&bindings, (void *)bpf_get_current_task_btf(), 0, 0);
  if (!b) return 0;
  look_up(b, &c);
  struct binding *n = bpf_task_storage_get(&bindings, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (!n) return -ENOMEM;
  *n = *b;
  if (!c.usage) return 0;
  charge(&c, &c.usage->children, 1, 0);
  if (!has_contract(&c, HOOK_FORK)) return 0;
  struct scratch *s = scratch();
  if (!s) return -ENOMEM;
  fill_event(&s->event, &c, CONTRACT_FORK);
  s->event.counters.children = c.now;
  bpf_tail_call(ctx, &contracts_fork, c.slot);
  return deny(&c, HOOK_FORK);
}

// A thread takes the binding that the node left for it, once.
SEC("lsm/task_prctl")
int BPF_PROG(on_prctl, int option) {
  struct task_struct *me = (void *)bpf_get_current_task_btf();
  u32 tid = (u32)bpf_get_current_pid_tgid();
  struct binding *claim = bpf_map_lookup_elem(&claims, &tid);
  if (!claim) return -ENOSYS; // not ours to answer
  struct binding *n = bpf_task_storage_get(&bindings, me, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (!n) return -ENOMEM;
  *n = *claim;
  bpf_map_delete_elem(&claims, &tid);
  return -ENOSYS;
}

// ---- refusals by contracts -----------------------------------------------------------------------------

// A contract that does not hold ends in the program of its hook's name here. They are not
// attached: they are the last entries of the contracts' arrays.
#define REFUSED(hook, name, what, path)                                        \
  SEC("lsm/" #hook)                                                            \
  int BPF_PROG(name) {                                                         \
    struct cell c;                                                             \
    struct scratch *s = scratch();                                             \
    if (!s || !bound(&c)) return -EACCES;                                      \
    return refused(&c, what, &s->event, path);                            \
  }
REFUSED(file_open, refused_open, HOOK_OPEN, PATH_OF(s))
REFUSED(socket_connect, refused_connect, HOOK_CONNECT, 0)
REFUSED(socket_sendmsg, refused_send, HOOK_SEND, 0)
REFUSED(task_alloc, refused_fork, HOOK_FORK, 0)
