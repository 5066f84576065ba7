// Dropout, and LayerNorm of a residual and what dropout leaves, by rows.
#pragma once
#include "philox.h"

namespace {

// The bits stand before the floats of a row.
INLINE int64_t bits_floats(int64_t n) { return (row_bits_size(n) + 63) / 64 * 16; }

int64_t row_scratch(int64_t n) { return bits_floats(n) + n + lanes; }

void mask(const Masks *m, int64_t head, int64_t n, int64_t begin, int64_t end, uint8_t *out, float *scratch) {
  by_rows(*m, head, n, begin, end, (uint8_t *)scratch, [&](int64_t row, const uint8_t *bits) {
    for (int64_t i = 0; i < n; i++) out[row * n + i] = bits[i / 8] >> i % 8 & 1;
  });
}

template <typename T>
INLINE void dropout_rows(const Dropout &a, int64_t begin, int64_t end, float *scratch) {
  const int64_t n = a.n;
  by_rows(a.masks, 0, n, begin, end, (uint8_t *)scratch, [&](int64_t row, const uint8_t *bits) {
    const T *in = (const T *)a.in + row * n;
    T *out = (T *)a.out + row * n;
    for (int64_t i = 0; i < n; i += lanes) store_most(out + i, keep(load_most(in + i, n - i) * a.masks.scale, bits, i), n - i);
  });
}

void dropout(const Dropout *a, int64_t begin, int64_t end, float *scratch) {
  if (a->bf16) dropout_rows<bfloat16>(*a, begin, end, scratch);
  else dropout_rows<float>(*a, begin, end, scratch);
}

// 1/√x of the vector unit is not exact, that of the scalar one is.
INLINE float inverse_root(float x) { return 1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

// total adds up f(i, count) for each vector of a row of n, at i, of which count elements
// are the row's, where those are fewer than lanes. Four sums wait for each other less.
template <typename F>
INLINE floats total(int64_t n, const F &f) {
  floats sums[4] = {};
  int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes)
    for (int j = 0; j < 4; j++) sums[j] += f(i + j * lanes, lanes);
  for (; i < n; i += lanes) sums[0] += f(i, n - i);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

template <typename T>
INLINE void norm_rows(const Norm &a, int64_t begin, int64_t end, float *scratch) {
  const int64_t n = a.n;
  float *h = scratch + bits_floats(n); // the row that is normed
  by_rows(a.masks, 0, n, begin, end, (uint8_t *)scratch, [&](int64_t row, const uint8_t *bits) {
    const T *y = (const T *)a.y + row * n, *residual = (const T *)a.residual + row * n;
    const float mean = sum(total(n, [&](int64_t i, int64_t count) {
      floats v = load_most(residual + i, count) + keep(load_most(y + i, count) * a.masks.scale, bits, i);
      store(h + i, v);
      return v;
    })) / float(n);
    const float variance = sum(total(n, [&](int64_t i, int64_t count) {
      floats v = fill_from(load(h + i) - mean, count, 0.0f);
      return v * v;
    })) / float(n);
    const float rstd = inverse_root(variance + a.eps);
    T *out = (T *)a.out + row * n, *normed = a.normed ? (T *)a.normed + row * n : nullptr;
    for (int64_t i = 0; i < n; i += lanes) {
      floats v = (load(h + i) - mean) * rstd;
      if (normed) store_most(normed + i, v, n - i);
      store_most(out + i, v * load_most(a.weight + i, n - i) + load_most(a.bias + i, n - i), n - i);
    }
    if (normed) a.rstd[row] = rstd;
  });
}

void norm(const Norm *a, int64_t begin, int64_t end, float *scratch) {
  if (a->bf16) norm_rows<bfloat16>(*a, begin, end, scratch);
  else norm_rows<float>(*a, begin, end, scratch);
}

template <typename T>
INLINE void norm_backward_rows(const Norm &a, int64_t begin, int64_t end, float *scratch) {
  const int64_t n = a.n;
  by_rows(a.masks, 0, n, begin, end, (uint8_t *)scratch, [&](int64_t row, const uint8_t *bits) {
    const T *grad = (const T *)a.grad + row * n, *normed = (const T *)a.normed + row * n;
    floats sum_grad = {}, sum_product = {};
    for (int64_t i = 0; i < n; i += lanes) {
      floats g = load_most(grad + i, n - i), x = load_most(normed + i, n - i);
      floats scaled = g * load_most(a.weight + i, n - i);
      sum_grad += scaled;
      sum_product += scaled * x;
      if (a.grad_weight) store_most(a.grad_weight + i, load_most(a.grad_weight + i, n - i) + g * x, n - i);
      if (a.grad_bias) store_most(a.grad_bias + i, load_most(a.grad_bias + i, n - i) + g, n - i);
    }
    const float rstd = a.rstd[row], mean_grad = sum(sum_grad) / float(n), mean_product = sum(sum_product) / float(n);
    T *grad_residual = (T *)a.grad_residual + row * n, *grad_y = a.grad_y ? (T *)a.grad_y + row * n : nullptr;
    for (int64_t i = 0; i < n; i += lanes) {
      floats scaled = load_most(grad + i, n - i) * load_most(a.weight + i, n - i);
      floats v = (scaled - mean_grad - load_most(normed + i, n - i) * mean_product) * rstd;
      store_most(grad_residual + i, v, n - i);
      if (grad_y) store_most(grad_y + i, keep(v * a.masks.scale, bits, i), n - i);
    }
  });
}

void norm_backward(const Norm *a, int64_t begin, int64_t end, float *scratch) {
  if (a->bf16) norm_backward_rows<bfloat16>(*a, begin, end, scratch);
  else norm_backward_rows<float>(*a, begin, end, scratch);
}

} // namespace
