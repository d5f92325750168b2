// Starting CPython itself, once per process, for both executors.
#define _GNU_SOURCE
#include "cell.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static int configure(PyInitConfig *k, const char *home, const char *stdlib) {
  static const struct { const char *name; int64_t value; } settings[] = {
      {"isolated", 1}, {"use_environment", 0}, {"install_signal_handlers", 0}, {"parse_argv", 0}, {"site_import", 0},
      {"user_site_directory", 0}, {"write_bytecode", 0}, {"pathconfig_warnings", 0}, {"configure_c_stdio", 0},
      {"configure_locale", 0}, {"utf8_mode", 1}, {"faulthandler", 0}, {"tracemalloc", 0}, {"safe_path", 1},
      {"use_frozen_modules", 1},
  };
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
    if (PyInitConfig_SetInt(k, settings[i].name, settings[i].value) < 0) return -1;
  char exe[4096], dynload[4096], *paths[] = {(char *)stdlib, dynload};
  snprintf(exe, sizeof exe, "%s/bin/python3", home);
  snprintf(dynload, sizeof dynload, "%s/lib-dynload", stdlib); // where most builds keep their extension modules
  return PyInitConfig_SetStr(k, "home", home) < 0 || PyInitConfig_SetStr(k, "executable", exe) < 0 ||
                 PyInitConfig_SetStrList(k, "module_search_paths", 2, paths) < 0 || Py_InitializeFromInitConfig(k) < 0
             ? -1
             : 0;
}

static void *give_back(void *unused) {
  enum { CHUNKS = 16, SIZE = 100 << 10 }; // each below what malloc maps, together above what it keeps
  void *volatile chunks[CHUNKS];          // or the compiler leaves all of it out
  for (int i = 0; i < CHUNKS; i++) chunks[i] = malloc(SIZE);
  for (int i = CHUNKS - 1; i >= 0; i--) free(chunks[i]);
  return unused;
}

// What libraries open for themselves, no policy gives, and it would be told as denied to a guest that
// opened nothing. So it is done, or kept from being done, before there are guests: OpenSSL looks for
// its configuration; and the first time that a thread other than the main one gives memory back,
// glibc reads /proc/sys/vm/overcommit_memory, and remembers.
static void settle_libraries(void) {
  setenv("OPENSSL_CONF", "/dev/null", 1);
  pthread_t t;
  if (!pthread_create(&t, NULL, give_back, NULL)) pthread_join(t, NULL);
}

// Leaves the calling thread attached to the main interpreter.
int runtime_init(const char *home, const char *stdlib, char *err, size_t errlen) {
  settle_libraries();
  policy_init(stdlib);
  memory_hook();
  if (PySys_AddAuditHook(policy_hook, NULL) < 0) {
    snprintf(err, errlen, "install the audit hook");
    return -1;
  }
  PyInitConfig *k = PyInitConfig_Create();
  if (!k || configure(k, home, stdlib)) {
    const char *why = NULL;
    if (k) PyInitConfig_GetError(k, &why);
    snprintf(err, errlen, "start CPython: %s", why ? why : "out of memory");
    if (k) PyInitConfig_Free(k);
    return -1;
  }
  PyInitConfig_Free(k);
  if (support_compile()) {
    snprintf(err, errlen, "compile the guest support module");
    return -1;
  }
  if (plain_init()) {
    snprintf(err, errlen, "find getweakrefcount in this Python's _weakref");
    return -1;
  }
  return 0;
}
