#include "cuda_functions.h"

#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#define HELPER_DEFINE(name, parameters, arguments)                     \
  static char *(*name##_function) parameters;                          \
  char *helper_##name parameters {                                     \
    if (!name##_function) return strdup("no CUDA helper is loaded");   \
    return name##_function arguments;                                  \
  }
METATT_CUDA_FUNCTIONS(HELPER_DEFINE)
#undef HELPER_DEFINE

char *helper_load(const char *name, void **library, const char **path, const char **build, const char **torch) {
  *library = dlopen(name, RTLD_NOW | RTLD_GLOBAL);
  if (!*library) return strdup(dlerror());
  struct link_map *map = NULL;
  *path = dlinfo(*library, RTLD_DI_LINKMAP, &map) == 0 ? map->l_name : name;
  const char *(*its_build)(void) = (const char *(*)(void))dlsym(*library, "metatt_build");
  const char *(*its_torch)(void) = (const char *(*)(void))dlsym(*library, "metatt_torch");
  *build = its_build ? its_build() : "";
  *torch = its_torch ? its_torch() : "";
  return NULL;
}

char *helper_use(void *library) {
#define HELPER_FIND(name, parameters, arguments) \
  if (!dlsym(library, "metatt_" #name)) return strdup("it has no function metatt_" #name);
  METATT_CUDA_FUNCTIONS(HELPER_FIND)
#undef HELPER_FIND
#define HELPER_SET(name, parameters, arguments) name##_function = (char *(*)parameters)dlsym(library, "metatt_" #name);
  METATT_CUDA_FUNCTIONS(HELPER_SET)
#undef HELPER_SET
  return NULL;
}
