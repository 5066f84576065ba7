// What Go calls. Tensors are at::Tensor*, of the CPU; a result is a new one, in out.
// Every function returns NULL, or the text of an error, which the caller frees.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Dropout: what a mask is a function of. offsets (n+1) and keys (n) are Int32, seed (1)
// is Int64; all three may be NULL where p is 0.
typedef struct {
  void *offsets, *keys, *seed;
  int32_t site;
  double p;
} native_drop;

// native_compiled: the functions below are more than errors.
bool native_compiled(void);

// native_choose takes the kernels of an instruction set, "generic", "avx2", "avx512" or
// "avx512bf16", or with "" the best that the machine has.
char *native_choose(const char *name);
// native_name is that of what was chosen last, "" before.
const char *native_name(void);

// native_seed starts libtorch's default generators, on every device.
char *native_seed(uint64_t seed);
char *native_mask(void **out, int64_t rows, int64_t columns, int64_t head, native_drop drop);
char *native_dropout(void **out, void *y, native_drop drop);
char *native_dropout_add_norm(void **out, void *y, void *residual, void *weight, void *bias, double eps, native_drop drop);
// drop.offsets is not read: a mask's rows are the queries.
char *native_attention(void **out, void *q, void *k, void *v, int64_t heads, void *query_offsets, void *key_offsets, native_drop drop);
char *native_joined_attention(void **out, void *qkv, int64_t heads, native_drop drop);
char *native_gelu(void **out, void *x, bool tanh);
// The slices of t, on any device, along its first dimension, for each of which outs has
// room: one operation for autograd.
char *native_unbind(void **outs, void *t);
// libtorch's linear and matmul, of any tensors; b may be NULL.
char *native_linear(void **out, void *x, void *w, void *b);
char *native_matmul(void **out, void *a, void *b);
// t += a b, of matrices.
char *native_add_matmul(void *t, void *a, void *b);

#ifdef __cplusplus
}
#endif
