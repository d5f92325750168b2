package guard

// The objects are built with clang 14 (Debian 12) and libbpf's headers: apt-get install
// clang llvm libbpf-dev. SHA256SUMS says of which sources.

//go:generate go tool bpf2go -go-package guard -target bpfel -no-global-types -cflags "-O2 -g -Wall -Werror -mcpu=v3" -strip llvm-strip lsm bpf/lsm.bpf.c
//go:generate go tool bpf2go -go-package guard -target bpfel -no-global-types -cflags "-O2 -g -Wall -Werror -mcpu=v3" -strip llvm-strip cgroup bpf/cgroup.bpf.c
//go:generate sh -c "cd bpf && sha256sum *.h *.bpf.c ../../contract/bpf/event.h > SHA256SUMS"
