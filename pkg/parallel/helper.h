// The functions of the MPI helper as this package calls them: mpi_NAME is metatt_mpi_NAME of
// the library that mpi_load has loaded, and an error before.
#include "mpi/source/functions.h"

#define HELPER_DECLARE(name, parameters, arguments) char *mpi_##name parameters;
METATT_MPI_FUNCTIONS(HELPER_DECLARE)
#undef HELPER_DECLARE

// Loads the library at a path, or where the loader finds a bare name. build becomes what it
// says of itself, path where it stands; the functions are there when mpi_use has been called.
char *mpi_load(const char *name, void **library, const char **path, const char **build);
char *mpi_use(void *library);
