//go:build ignore

// The programs: each judges what the current thread is about to do by the policy of the
// cell it is bound to. A thread without a binding is let through; a binding without a
// policy, a path that cannot be told and a map that is not there deny.
#include "maps.h"

char LICENSE[] SEC("license") = "GPL";

// Since Linux 6.12. Before it, only some hooks can be told a path (bpf_d_path).
extern int bpf_path_d_path(const struct path *path, char *buf, unsigned long buf__sz) __ksym __weak;

static __always_inline struct binding *bound(void) {
  return bpf_task_storage_get(&bindings, (void *)bpf_get_current_task_btf(), 0, 0);
}

static __always_inline struct usage *used(struct binding *b) {
  u32 cell = b->cell;
  return bpf_map_lookup_elem(&usages, &cell);
}

static __always_inline int deny(struct binding *b) {
  struct usage *u = used(b);
  if (u) __sync_fetch_and_add(&u->denied, 1);
  return -EACCES;
}

// The cell's slot, read once: all rules of one verdict are of one policy. -1: none.
static __always_inline int slot_of(struct binding *b) {
  if (!b->bound) return -1;
  u32 cell = b->cell;
  u64 *word = bpf_map_lookup_elem(&cells, &cell);
  if (!word) return -1;
  u64 now = *(volatile u64 *)word;
  return (int)(u32)now - 1;
}

// ---- paths -----------------------------------------------------------------------------------------

static __always_inline struct scratch *scratch(void) {
  return bpf_task_storage_get(&scratches, (void *)bpf_get_current_task_btf(), 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

// Does the cell have the access to s->path, of length bytes without its end?
static __noinline int judge_path(struct binding *b, struct scratch *s, u32 length, u32 access) {
  if (!b || !s) return -EACCES;
  u32 slot = slot_of(b);
  // Pipes, sockets and what is outside of the thread's root have no slash at the front.
  if (slot >= SLOTS || s->path[0] != '/') return deny(b);
  void *rules = bpf_map_lookup_elem(&paths, &slot);
  if (!rules) return deny(b);
  if (length > PATH_KEY - 1) length = PATH_KEY - 1;
  __builtin_memset(s->key.text, 0, PATH_KEY);
  if (bpf_probe_read_kernel(s->key.text, length & (PATH_KEY - 1), s->path)) return deny(b);
  // Rules end in a slash, and so does the key: /data does not fit /database.
  s->key.text[length & (PATH_KEY - 1)] = '/';
  s->key.bits = PATH_KEY * 8;
  u32 *has = bpf_map_lookup_elem(rules, &s->key);
  if (!has || (*has & access) != access) return deny(b);
  return 0;
}

// For the hooks that may ask bpf_d_path.
static __always_inline int judge(struct binding *b, struct path *p, u32 access) {
  struct scratch *s = scratch();
  if (!s) return deny(b);
  long n = bpf_d_path(p, s->path, sizeof s->path);
  if (n <= 0) return deny(b);
  return judge_path(b, s, n - 1, access);
}

// For those that may not: a path, and in it, perhaps, a name. Where the kernel cannot
// tell the path nothing can be made, renamed or removed.
static __always_inline int judge_in(struct binding *b, const struct path *p, struct dentry *child, u32 access) {
  if (!bpf_path_d_path) return deny(b);
  struct scratch *s = scratch();
  if (!s) return deny(b);
  int n = bpf_path_d_path(p, s->path, sizeof s->path);
  if (n <= 0) return deny(b);
  u32 end = n - 1; // the zero
  if (!child) return judge_path(b, s, end, access);
  if (end < 1 || end > PATH_MAX - 260) return deny(b);
  if (end > 1) { // else it is the root, and has one
    s->path[end & (PATH_MAX - 1)] = '/';
    end++;
  }
  // The compiler knows that this changes nothing; the verifier must see it done.
  asm volatile("%0 &= 4095" : "+r"(end));
  long more = bpf_probe_read_kernel_str(&s->path[end], 256, BPF_CORE_READ(child, d_name.name));
  if (more <= 1) return deny(b);
  return judge_path(b, s, end + (u32)more - 1, access);
}

SEC("lsm/file_open")
int BPF_PROG(on_file_open, struct file *file) {
  struct binding *b = bound();
  if (!b) return 0;
  struct usage *u = used(b);
  if (u) __sync_fetch_and_add(&u->opens, 1);
  u32 access = 0;
  if (file->f_mode & FMODE_WRITE) access |= WRITE;
  if (file->f_mode & FMODE_EXEC) access |= EXECUTE;
  if (file->f_mode & FMODE_READ || !access) access |= READ;
  return judge(b, &file->f_path, access);
}

SEC("lsm/bprm_check_security")
int BPF_PROG(on_exec, struct linux_binprm *bprm) {
  struct binding *b = bound();
  return b ? judge(b, &bprm->file->f_path, EXECUTE) : 0;
}

SEC("lsm/inode_getattr")
int BPF_PROG(on_getattr, struct path *path) {
  struct binding *b = bound();
  // Looking is not reading: only a cell without a policy may not even look.
  return b && (u32)slot_of(b) >= SLOTS ? deny(b) : 0;
}

#define IN_DIRECTORY(hook, name, ...)                                    \
  SEC("lsm/" #hook)                                                      \
  int BPF_PROG(name, const struct path *dir, struct dentry *child) {     \
    struct binding *b = bound();                                         \
    return b ? judge_in(b, dir, child, WRITE) : 0;                       \
  }
IN_DIRECTORY(path_mknod, on_mknod)
IN_DIRECTORY(path_mkdir, on_mkdir)
IN_DIRECTORY(path_symlink, on_symlink)
IN_DIRECTORY(path_unlink, on_unlink)
IN_DIRECTORY(path_rmdir, on_rmdir)

SEC("lsm/path_rename")
int BPF_PROG(on_rename, const struct path *from, struct dentry *old, const struct path *to, struct dentry *new) {
  struct binding *b = bound();
  if (!b) return 0;
  int refused = judge_in(b, from, old, WRITE);
  return refused ? refused : judge_in(b, to, new, WRITE);
}

// A hard link gives a file a second path, and the hook does not tell the first.
SEC("lsm/path_link")
int BPF_PROG(on_link, struct dentry *old) {
  struct binding *b = bound();
  return b ? deny(b) : 0;
}

#define OF_PATH(hook, name)                           \
  SEC("lsm/" #hook)                                   \
  int BPF_PROG(name, const struct path *path) {       \
    struct binding *b = bound();                      \
    return b ? judge_in(b, path, 0, WRITE) : 0;       \
  }
OF_PATH(path_truncate, on_truncate)
OF_PATH(path_chmod, on_chmod)
OF_PATH(path_chown, on_chown)

// Code comes from files that may be executed.
SEC("lsm/mmap_file")
int BPF_PROG(on_mmap, struct file *file, unsigned long asked, unsigned long prot) {
  if (!(prot & PROT_EXEC)) return 0;
  struct binding *b = bound();
  if (!b) return 0;
  return file ? judge(b, &file->f_path, EXECUTE) : deny(b);
}

SEC("lsm/file_mprotect")
int BPF_PROG(on_mprotect, struct vm_area_struct *area, unsigned long asked, unsigned long prot) {
  if (!(prot & PROT_EXEC)) return 0;
  struct binding *b = bound();
  return b ? deny(b) : 0;
}

// ---- network -----------------------------------------------------------------------------------------

struct address {
  u16 family, port;
  union {
    u8 v4[4];
    struct { u32 flow; u8 address[16]; } v6;
  };
};

static __always_inline struct net_rule *rule_v4(u32 slot, const u8 *address) {
  void *rules = bpf_map_lookup_elem(&v4, &slot);
  if (!rules) return 0;
  struct v4_key k = {.bits = 32};
  __builtin_memcpy(k.address, address, 4);
  return bpf_map_lookup_elem(rules, &k);
}

static __always_inline struct net_rule *rule_v6(u32 slot, const u8 *address) {
  const u32 *w = (const u32 *)address;
  if (!w[0] && !w[1] && w[2] == __builtin_bswap32(0xffff)) return rule_v4(slot, address + 12); // ::ffff:a.b.c.d
  void *rules = bpf_map_lookup_elem(&v6, &slot);
  if (!rules) return 0;
  struct v6_key k = {.bits = 128};
  __builtin_memcpy(k.address, address, 16);
  return bpf_map_lookup_elem(rules, &k);
}

static __noinline int judge_address(struct binding *b, struct address *a, u32 length) {
  if (!b || !a) return -EACCES;
  u32 slot = slot_of(b);
  if (slot >= SLOTS) return deny(b);
  struct net_rule *r = 0;
  if (a->family == AF_INET && length >= 8) r = rule_v4(slot, a->v4);
  else if (a->family == AF_INET6 && length >= 24) r = rule_v6(slot, a->v6.address);
  if (!r || !r->permit) return deny(b);
  u16 port = __builtin_bswap16(a->port);
  bool fits = r->ranges == 0;
  for (u32 i = 0; i < RANGES; i++)
    if (i < r->ranges && port >= r->first[i] && port <= r->last[i]) fits = true;
  if (!fits) return deny(b);
  struct usage *u = used(b);
  if (u) __sync_fetch_and_add(&u->connects, 1);
  return 0;
}

static __always_inline int judge_sockaddr(struct binding *b, const void *from, int length, bool unspecified) {
  struct address a = {};
  u32 n = length;
  if (n > sizeof a) n = sizeof a;
  if (n < 2 || bpf_probe_read_kernel(&a, n, from)) return deny(b);
  if (a.family == AF_UNSPEC && unspecified) return 0; // connect: disconnects
  if (a.family == AF_UNSPEC) a.family = AF_INET;      // sendto: the kernel takes it so
  if (a.family == AF_UNIX) return 0;                  // unix_* judge these
  return judge_address(b, &a, n);
}

SEC("lsm/socket_create")
int BPF_PROG(on_socket, int family, int type, int protocol, int kern) {
  if (kern) return 0;
  struct binding *b = bound();
  if (!b) return 0;
  if ((u32)slot_of(b) >= SLOTS) return deny(b);
  type &= 0xf;
  bool known = family == AF_UNIX || family == AF_INET || family == AF_INET6;
  return known && (type == SOCK_STREAM || type == SOCK_DGRAM) ? 0 : deny(b);
}

SEC("lsm/socket_connect")
int BPF_PROG(on_connect, struct socket *sock, struct sockaddr *address, int length) {
  struct binding *b = bound();
  return b ? judge_sockaddr(b, address, length, true) : 0;
}

SEC("lsm/socket_sendmsg")
int BPF_PROG(on_sendmsg, struct socket *sock, struct msghdr *message, int size) {
  struct binding *b = bound();
  if (!b) return 0;
  if ((u32)slot_of(b) >= SLOTS) return deny(b);
  void *to = message->msg_name;
  return to ? judge_sockaddr(b, to, message->msg_namelen, false) : 0;
}

// What nothing permits: to serve, and to talk to others on the machine.
#define REFUSE(hook, name)                   \
  SEC("lsm/" #hook)                          \
  int BPF_PROG(name) {                       \
    struct binding *b = bound();             \
    return b ? deny(b) : 0;                  \
  }
REFUSE(socket_bind, on_bind)
REFUSE(socket_listen, on_listen)
REFUSE(unix_stream_connect, on_unix_connect)
REFUSE(unix_may_send, on_unix_send)

// ---- others ------------------------------------------------------------------------------------------

REFUSE(bpf, on_bpf)
REFUSE(sb_mount, on_mount)
REFUSE(move_mount, on_move_mount)
REFUSE(userns_create, on_userns)
REFUSE(uring_override_creds, on_ring_creds)
REFUSE(uring_sqpoll, on_ring_poll)
REFUSE(uring_cmd, on_ring_command)

static __always_inline int same_cell(struct binding *b, struct task_struct *other) {
  struct binding *o = bpf_task_storage_get(&bindings, other, 0, 0);
  return o && o->cell == b->cell ? 0 : deny(b);
}

SEC("lsm/task_kill")
int BPF_PROG(on_kill, struct task_struct *target) {
  struct binding *b = bound();
  return b ? same_cell(b, target) : 0;
}

SEC("lsm/ptrace_access_check")
int BPF_PROG(on_ptrace, struct task_struct *target) {
  struct binding *b = bound();
  return b ? same_cell(b, target) : 0;
}

// What a bound thread starts is bound, or is not started.
SEC("lsm/task_alloc")
int BPF_PROG(on_fork, struct task_struct *task) {
  struct binding *b = bound();
  if (!b) return 0;
  struct binding *n = bpf_task_storage_get(&bindings, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (!n) return -ENOMEM;
  n->cell = b->cell;
  n->bound = b->bound;
  return 0;
}

// A thread takes the binding that the node left for it, once.
SEC("lsm/task_prctl")
int BPF_PROG(on_prctl, int option) {
  struct task_struct *me = (void *)bpf_get_current_task_btf();
  u32 tid = (u32)bpf_get_current_pid_tgid();
  u32 *cell = bpf_map_lookup_elem(&claims, &tid);
  if (!cell) return -38; // ENOSYS: not ours to answer
  struct binding *n = bpf_task_storage_get(&bindings, me, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (!n) return -ENOMEM;
  n->cell = *cell;
  n->bound = 1;
  bpf_map_delete_elem(&claims, &tid);
  return -38;
}
