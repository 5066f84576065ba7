// Attention of one head within one sequence.
#pragma once
#include "attention_floats.h"
#if defined(KERNELS_AVX512BF16)
#include "attention_pairs.h"
#endif

namespace {

#if defined(KERNELS_AVX512BF16)
INLINE void attention_of_bf16(const Attention &a, const Place &at, float *scratch) { attention_by_pairs(a, at, scratch); }
INLINE void attention_backward_of_bf16(const Attention &a, const Place &at, float *scratch) { attention_backward_by_pairs(a, at, scratch); }
#else
INLINE void attention_of_bf16(const Attention &a, const Place &at, float *scratch) { attention_by_floats<bfloat16>(a, at, scratch); }
INLINE void attention_backward_of_bf16(const Attention &a, const Place &at, float *scratch) { attention_backward_by_floats<bfloat16>(a, at, scratch); }
#endif

int64_t attention_scratch(int64_t queries, int64_t keys, int64_t width) {
  int64_t most = scratch_by_floats(queries, keys, width);
#if defined(KERNELS_AVX512BF16)
  const int64_t pairs = scratch_by_pairs(queries, keys, width);
  if (pairs > most) most = pairs;
#endif
  return most;
}

INLINE void zero_out(const Attention &a, const Matrix &to, int64_t first, int64_t rows, int64_t column) {
  if (!to.data) return;
  if (a.bf16) zero_rows<bfloat16>(to, first, rows, column, a.width);
  else zero_rows<float>(to, first, rows, column, a.width);
}

void attention(const Attention *a, int64_t sequence, int64_t head, float *scratch) {
  const Place at = place(*a, sequence, head);
  if (at.queries == 0 || at.keys == 0) zero_out(*a, a->out, at.query, at.queries, at.column);
  else if (a->bf16) attention_of_bf16(*a, at, scratch);
  else attention_by_floats<float>(*a, at, scratch);
}

void attention_backward(const Attention *a, int64_t sequence, int64_t head, float *scratch) {
  const Place at = place(*a, sequence, head);
  if (at.queries == 0 || at.keys == 0) {
    zero_out(*a, a->grad_q, at.query, at.queries, at.column);
    zero_out(*a, a->grad_k, at.key, at.keys, at.column);
    zero_out(*a, a->grad_v, at.key, at.keys, at.column);
  } else if (a->bf16) {
    attention_backward_of_bf16(*a, at, scratch);
  } else {
    attention_backward_by_floats<float>(*a, at, scratch);
  }
}

} // namespace
