#include "helper.h"

#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#define HELPER_DEFINE(name, parameters, arguments)                   \
  static char *(*mpi_##name##_function) parameters;                        \
  char *mpi_##name parameters {                                   \
    if (!mpi_##name##_function) return strdup("no MPI helper is loaded");  \
    return mpi_##name##_function arguments;                                \
  }
METATT_MPI_FUNCTIONS(HELPER_DEFINE)
#undef HELPER_DEFINE

// Global: the parts that an MPI loads later look for its symbols there.
char *mpi_load(const char *name, void **library, const char **path, const char **build) {
  *library = dlopen(name, RTLD_NOW | RTLD_GLOBAL);
  if (!*library) return strdup(dlerror());
  struct link_map *map = NULL;
  *path = dlinfo(*library, RTLD_DI_LINKMAP, &map) == 0 ? map->l_name : name;
  const char *(*its_build)(void) = (const char *(*)(void))dlsym(*library, "metatt_mpi_build");
  *build = its_build ? its_build() : "";
  return NULL;
}

char *mpi_use(void *library) {
#define HELPER_FIND(name, parameters, arguments) \
  if (!dlsym(library, "metatt_mpi_" #name)) return strdup("it has no function metatt_mpi_" #name);
  METATT_MPI_FUNCTIONS(HELPER_FIND)
#undef HELPER_FIND
#define HELPER_SET(name, parameters, arguments) mpi_##name##_function = (char *(*)parameters)dlsym(library, "metatt_mpi_" #name);
  METATT_MPI_FUNCTIONS(HELPER_SET)
#undef HELPER_SET
  return NULL;
}
