// The functions of libmetatt_cuda.so: name, parameters, arguments. The library defines
// them as metatt_NAME, and the Go side finds them by these names. Each returns NULL, or
// an error text that the caller frees. A tensor is a handle of gotch, at::Tensor *; a
// result is a new one, the caller's. dtype numbers are libtorch's.
#ifndef METATT_CUDA_FUNCTIONS_H
#define METATT_CUDA_FUNCTIONS_H

#include <stdint.h>

// What a dropout mask is a function of, beside row and column; threshold 0: no dropout.
typedef struct {
  void *offsets;      // tensor (sequences+1) Int32
  void *keys;         // tensor (sequences) Int32
  void *seed;         // tensor (1) Int64
  uint32_t threshold; // of the 65,536 values of a decision those that drop
  int32_t site;
} metatt_drop;

#define METATT_CUDA_FUNCTIONS(F)                                                                                                    \
  /* streams */                                                                                                                     \
  F(stream_enter, (int device, void **out), (device, out))                                                                          \
  F(stream_leave, (void *stream), (stream))                                                                                         \
  /* graphs */                                                                                                                      \
  F(pool_new, (uint64_t *id), (id))                                                                                                 \
  F(capture_begin, (uint64_t pool0, uint64_t pool1, void **out), (pool0, pool1, out))                                               \
  F(capture_end, (void *graph), (graph))                                                                                            \
  F(capture_abandon, (void *graph), (graph))                                                                                        \
  F(graph_replay, (void *graph), (graph))                                                                                           \
  F(graph_free, (void *graph), (graph))                                                                                             \
  /* devices */                                                                                                                     \
  F(memory_peak, (int device, int64_t *allocated, int64_t *reserved), (device, allocated, reserved))                                \
  F(memory_reset, (int device), (device))                                                                                           \
  F(memory_release, (void), ())                                                                                                     \
  F(kernel_cache, (const char *path), (path))                                                                                       \
  F(tf32, (int on), (on))                                                                                                           \
  /* operations */                                                                                                                  \
  F(attention, (void *q, void *k, void *v, int64_t heads, void *q_offsets, void *k_offsets, int64_t q_longest, int64_t k_longest,   \
                double p, void **out),                                                                                              \
    (q, k, v, heads, q_offsets, k_offsets, q_longest, k_longest, p, out))                                                           \
  F(joined_attention, (void *qkv, int64_t heads, void *offsets, int64_t longest, double p, void **out),                             \
    (qkv, heads, offsets, longest, p, out))                                                                                         \
  F(dropout_at, (void *x, metatt_drop drop, void **out), (x, drop, out))                                                            \
  F(dropout_add_norm, (void *y, void *residual, void *weight, void *bias, double eps, metatt_drop drop, void **out),                \
    (y, residual, weight, bias, eps, drop, out))                                                                                    \
  F(adamw,                                                                                                                          \
    (void **gradients, int n, void *loss, void *healthy, double clip, double eps, double largest, void **spans, int count, void **out), \
    (gradients, n, loss, healthy, clip, eps, largest, spans, count, out))

#ifdef __cplusplus
extern "C" {
#endif

// The text that tells builds of this source apart, and the torch it was compiled against.
const char *metatt_build(void);
const char *metatt_torch(void);

#define METATT_DECLARE(name, parameters, arguments) char *metatt_##name parameters;
METATT_CUDA_FUNCTIONS(METATT_DECLARE)
#undef METATT_DECLARE

#ifdef __cplusplus
}
#endif
#endif
