// What the MPI helper offers, as both sides see it: X(name, parameters, arguments). Each
// returns the text of an error, which the caller frees, or NULL. They are to be called on
// one OS thread.
#include <stdint.h>

#define METATT_MPI_FUNCTIONS(X)                                                                       \
  /* The MPI library's name for itself, to be freed. */                                               \
  X(library, (char **name), (name))                                                                   \
  /* Joins the job: rank and size in it, and among the processes on this machine. */                  \
  X(join, (int *rank, int *size, int *local_rank, int *local_size), (rank, size, local_rank, local_size)) \
  /* Each begins an operation on memory that has to stay until finished says so. */                   \
  X(sum, (float *values, int count), (values, count))                                                 \
  X(broadcast, (void *bytes, int count), (bytes, count))                                              \
  X(barrier, (void), ())                                                                              \
  X(finished, (int *done), (done))                                                                    \
  /* A sign of life to the next rank, unless the one before it is still on its way; the last. */      \
  X(beat, (void), ())                                                                                 \
  X(beat_last, (void), ())                                                                            \
  /* Whether the rank before has given signs since the last call, and whether its last. */            \
  X(listen, (int *heard, int *last), (heard, last))                                                   \
  /* Leaves the job, when the last signs were given and heard. */                                     \
  X(leave, (void), ())                                                                                \
  /* Ends all processes of the job. */                                                                \
  X(abort, (int code), (code))
