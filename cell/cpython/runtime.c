// Starting CPython itself, once per process, for both executors.
#define _GNU_SOURCE
#include "cell.h"

#include <stdio.h>

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

// Leaves the calling thread attached to the main interpreter.
int runtime_init(const char *home, const char *stdlib, char *err, size_t errlen) {
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
  return 0;
}
