// The MPI helper: what package parallel asks of MPI, compiled against the MPI of the machine.
// The handles of MPI's types are another thing in each MPI, so that they stay in here.
#include "functions.h"

#include <mpi.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define DECLARE(name, parameters, arguments) EXPORT char *metatt_mpi_##name parameters;
METATT_MPI_FUNCTIONS(DECLARE)
#undef DECLARE

EXPORT const char *metatt_mpi_build(void) { return METATT_BUILD; }

static MPI_Comm world, life; // operations; signs of life
static MPI_Request operation = MPI_REQUEST_NULL, sent = MPI_REQUEST_NULL, awaited = MPI_REQUEST_NULL;
static char sending, hearing;
static int own_rank, ranks;

static char *failure(int code) {
  if (code == MPI_SUCCESS) return NULL;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) return strdup("an error without a text");
  return strndup(text, length);
}

#define TRY(call)                          \
  do {                                     \
    int code = (call);                     \
    if (code != MPI_SUCCESS) return failure(code); \
  } while (0)

char *metatt_mpi_library(char **name) {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  TRY(MPI_Get_library_version(text, &length));
  *name = strndup(text, length);
  return NULL;
}

static char *await(void) { return failure(MPI_Irecv(&hearing, 1, MPI_CHAR, (own_rank + ranks - 1) % ranks, 0, life, &awaited)); }

// MPI's own handlers of signals would take the place of those of the Go runtime, which
// needs an alternate stack for each.
static struct sigaction handlers[NSIG];

static void save_handlers(void) {
  for (int i = 1; i < NSIG; i++) sigaction(i, NULL, &handlers[i]);
}

static void restore_handlers(void) {
  for (int i = 1; i < NSIG; i++) {
    struct sigaction now;
    if (sigaction(i, NULL, &now) == 0 && now.sa_sigaction != handlers[i].sa_sigaction) sigaction(i, &handlers[i], NULL);
  }
}

char *metatt_mpi_join(int *rank, int *size, int *local_rank, int *local_size) {
  int offered;
  save_handlers();
  int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &offered);
  restore_handlers();
  TRY(code);
  if (offered < MPI_THREAD_FUNNELED) return strdup("it serves no process of several threads");
  MPI_Comm local;
  TRY(MPI_Comm_dup(MPI_COMM_WORLD, &world));
  TRY(MPI_Comm_set_errhandler(world, MPI_ERRORS_RETURN));
  TRY(MPI_Comm_dup(world, &life)); // with its error handler
  TRY(MPI_Comm_rank(world, &own_rank));
  TRY(MPI_Comm_size(world, &ranks));
  TRY(MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, own_rank, MPI_INFO_NULL, &local));
  TRY(MPI_Comm_rank(local, local_rank));
  TRY(MPI_Comm_size(local, local_size));
  TRY(MPI_Comm_free(&local));
  *rank = own_rank;
  *size = ranks;
  return await();
}

char *metatt_mpi_sum(float *values, int count) {
  return failure(MPI_Iallreduce(MPI_IN_PLACE, values, count, MPI_FLOAT, MPI_SUM, world, &operation));
}

char *metatt_mpi_broadcast(void *bytes, int count) { return failure(MPI_Ibcast(bytes, count, MPI_BYTE, 0, world, &operation)); }

char *metatt_mpi_barrier(void) { return failure(MPI_Ibarrier(world, &operation)); }

char *metatt_mpi_finished(int *done) { return failure(MPI_Test(&operation, done, MPI_STATUS_IGNORE)); }

static char *give(char last) {
  sending = last;
  return failure(MPI_Isend(&sending, 1, MPI_CHAR, (own_rank + 1) % ranks, 0, life, &sent));
}

char *metatt_mpi_beat(void) {
  int through;
  if (sending) return NULL; // the last was given
  TRY(MPI_Test(&sent, &through, MPI_STATUS_IGNORE)); // before the first, nothing is on its way
  return through ? give(0) : NULL;
}

char *metatt_mpi_beat_last(void) {
  TRY(MPI_Wait(&sent, MPI_STATUS_IGNORE));
  return give(1);
}

char *metatt_mpi_listen(int *heard, int *last) {
  *heard = *last = 0;
  while (awaited != MPI_REQUEST_NULL) {
    int arrived;
    TRY(MPI_Test(&awaited, &arrived, MPI_STATUS_IGNORE));
    if (!arrived) return NULL;
    *heard = 1;
    if (!hearing) {
      char *error = await();
      if (error) return error;
    }
  }
  *last = 1;
  return NULL;
}

char *metatt_mpi_leave(void) {
  TRY(MPI_Wait(&sent, MPI_STATUS_IGNORE));
  return failure(MPI_Finalize());
}

char *metatt_mpi_abort(int code) { return failure(MPI_Abort(MPI_COMM_WORLD, code)); }
