package probe

// Feature names one thing that may work.
type Feature string

// The features. Their names are part of doctor's JSON; changing one breaks scripts.
const (
	SeccompFilter Feature = "seccomp.filter"
	SeccompKill   Feature = "seccomp.kill_process"
	SeccompNotify Feature = "seccomp.user_notif"

	// Landlock has the version of its interface as value.
	Landlock Feature = "landlock"

	BPFLSM         Feature = "bpf.lsm"
	BPFTracing     Feature = "bpf.tp_btf"
	BPFConnect4    Feature = "bpf.cgroup.connect4"
	BPFConnect6    Feature = "bpf.cgroup.connect6"
	BPFSendmsg4    Feature = "bpf.cgroup.sendmsg4"
	BPFSendmsg6    Feature = "bpf.cgroup.sendmsg6"
	BPFBind4       Feature = "bpf.cgroup.bind4"
	BPFBind6       Feature = "bpf.cgroup.bind6"
	BPFSockCreate  Feature = "bpf.cgroup.sock_create"
	BPFEgress      Feature = "bpf.cgroup.egress"
	BPFAttach      Feature = "bpf.cgroup.attach"
	BPFTaskStorage Feature = "bpf.map.task_storage"
	BPFSockStorage Feature = "bpf.map.sk_storage"
	BPFTrie        Feature = "bpf.map.lpm_trie"
	BPFRing        Feature = "bpf.map.ringbuf"
	BPFMmap        Feature = "bpf.map.mmap"
	BPFPin         Feature = "bpf.pin"

	// Controllers have the version of their hierarchy as value.
	CgroupCPU    Feature = "cgroup.cpu"
	CgroupMemory Feature = "cgroup.memory"
	CgroupTasks  Feature = "cgroup.pids"
	// CgroupUnified is a group in the version 2 hierarchy, with controllers or without.
	CgroupUnified Feature = "cgroup.v2"

	UserNamespace    Feature = "namespace.user"
	MountNamespace   Feature = "namespace.mount"
	PIDNamespace     Feature = "namespace.pid"
	NetworkNamespace Feature = "namespace.net"
	IPCNamespace     Feature = "namespace.ipc"
	UTSNamespace     Feature = "namespace.uts"

	PidfdThread Feature = "pidfd.thread"
	CloseRange  Feature = "close_range"
	IOUring     Feature = "io_uring"
)
