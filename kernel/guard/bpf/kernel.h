// The kernel's types, as far as the programs read them. Offsets are filled in when a
// program is loaded (CO-RE), so that only names and types matter here.
#ifndef PYISOLATE_KERNEL_H
#define PYISOLATE_KERNEL_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef _Bool bool;
#define true 1
#define false 0

// What the headers of libbpf call them.
typedef u8 __u8;
typedef u16 __u16, __be16;
typedef u32 __u32, __be32, __wsum;
typedef u64 __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;

enum bpf_map_type {
  BPF_MAP_TYPE_HASH = 1,
  BPF_MAP_TYPE_ARRAY = 2,
  BPF_MAP_TYPE_PROG_ARRAY = 3,
  BPF_MAP_TYPE_LPM_TRIE = 11,
  BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
  BPF_MAP_TYPE_SK_STORAGE = 24,
  BPF_MAP_TYPE_RINGBUF = 27,
  BPF_MAP_TYPE_TASK_STORAGE = 29,
};
enum { BPF_F_NO_PREALLOC = 1, BPF_F_CLONE = 512, BPF_F_MMAPABLE = 1024, BPF_LOCAL_STORAGE_GET_F_CREATE = 1 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct qstr { const unsigned char *name; };
struct dentry { struct qstr d_name; };
struct vfsmount;
struct path { struct vfsmount *mnt; struct dentry *dentry; };
struct file { unsigned int f_mode, f_flags; struct path f_path; };
struct task_struct { int pid; int tgid; };
struct linux_binprm { struct file *file; };
struct vm_area_struct { struct file *vm_file; };
struct msghdr { void *msg_name; int msg_namelen; unsigned long msg_controllen; };
struct sock_common { unsigned short skc_family; };
struct sock { struct sock_common __sk_common; unsigned short sk_protocol; };
struct socket { struct sock *sk; };
#pragma clang attribute pop

struct sockaddr;
struct cred;
struct kernel_siginfo;
union bpf_attr;

// What programs of control groups are given. These are the kernel's interface: they do
// not move.
struct bpf_sock_addr {
  u32 user_family, user_ip4, user_ip6[4], user_port, family, type, protocol, msg_src_ip4, msg_src_ip6[4];
};
struct bpf_sock { u32 bound_dev_if, family, type, protocol; };
struct __sk_buff { u32 len; u32 other[11]; u32 cb[5]; u32 more[25]; struct bpf_sock *sk; };
_Static_assert(__builtin_offsetof(struct __sk_buff, cb) == 48, "cb");
_Static_assert(__builtin_offsetof(struct __sk_buff, sk) == 168, "sk");

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

enum { EPERM = 1, ENOMEM = 12, EACCES = 13 };
enum { AF_UNSPEC = 0, AF_UNIX = 1, AF_INET = 2, AF_INET6 = 10 };
enum { SOCK_STREAM = 1, SOCK_DGRAM = 2 };
enum { IPPROTO_HOPOPTS = 0, IPPROTO_TCP = 6, IPPROTO_UDP = 17, IPPROTO_ROUTING = 43, IPPROTO_DSTOPTS = 60 };
enum { SOL_SOCKET = 1, SO_BINDTODEVICE = 25, SO_BINDTOIFINDEX = 62 };
enum { SOL_IP = 0, IP_OPTIONS = 4 };
enum { SOL_IPV6 = 41, IPV6_2292PKTOPTIONS = 6, IPV6_HOPOPTS = 54, IPV6_RTHDRDSTOPTS = 55, IPV6_RTHDR = 57, IPV6_DSTOPTS = 59 };
enum { ENOSYS = 38, SIGKILL = 9 };
enum pid_type { PIDTYPE_PID, PIDTYPE_TGID, PIDTYPE_PGID, PIDTYPE_SID, PIDTYPE_MAX };
enum { PROT_EXEC = 4 };
enum { FMODE_READ = 1, FMODE_WRITE = 2, FMODE_EXEC = 32 };
enum { O_TRUNC = 01000, RENAME_EXCHANGE = 2 };

#endif
