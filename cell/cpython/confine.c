#define _GNU_SOURCE
#include "confine.h"

#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

void drop_capabilities(void) {
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (int cap = 0, held; (held = prctl(PR_CAPBSET_READ, cap, 0, 0, 0)) >= 0; cap++)
    if (held) prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct none[2] = {{0}};
  syscall(SYS_capset, &head, none);
}

// A host under this name runs guests among its own threads. It needs no privilege
// from the start on, and only here, before the Go runtime has threads, can all be
// dropped for the whole process.
__attribute__((constructor)) static void confine_host(int argc, char **argv, char **envp) {
  (void)envp;
  if (argc < 1 || strcmp(argv[0], "pyisolate-host-subinterpreter")) return;
  drop_capabilities();
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}
