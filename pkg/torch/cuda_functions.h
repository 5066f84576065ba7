// The functions of the CUDA helper as this package calls them: helper_NAME is metatt_NAME of
// the library that helper_load has loaded, and an error before.
#include "cuda/source/functions.h"

#define HELPER_DECLARE(name, parameters, arguments) char *helper_##name parameters;
METATT_CUDA_FUNCTIONS(HELPER_DECLARE)
#undef HELPER_DECLARE

// Loads the library at a path, or where the loader finds a bare name. build and torch
// become what it says of itself, path where it stands; the functions are there when
// helper_use has been called.
char *helper_load(const char *name, void **library, const char **path, const char **build, const char **torch);
char *helper_use(void *library);
