// Softmax of rows of scores, with dropout, and its derivative, in fp32.
#pragma once
#include "philox.h"

namespace {

// greatest_of is the greatest score of a row.
INLINE float greatest_of(const float *row, int64_t n) {
  const float lowest = -__builtin_inff();
  floats most = broadcast(lowest);
  each(0, n, [&](int64_t j, int64_t count) { most = greater(most, fill_from(load(row + j), count, lowest)); });
  return greatest(most);
}

// exponentials writes e^(scale (score - greatest)) of a row of scores, those that are
// dropped as 0, to kept, which may be where the row begins. It returns the sum of all.
template <typename T>
INLINE float exponentials(const float *row, int64_t n, const uint8_t *bits, float scale, T *kept) {
  const float most = greatest_of(row, n);
  const Exponent exponent = base_e(scale);
  floats total = {};
  each(0, n, [&](int64_t j, int64_t count) {
    floats e = fill_from(power_of_two(load(row + j) - most, exponent), count, 0.0f);
    total += e;
    store(kept + j, keep(e, bits, j));
  });
  return sum(total);
}

// Of a row: a probability is e^… times factor; mean is the gradients' that it weighs.
struct Sums {
  float factor, mean;
};

// softmax_sums turns a row of scores into e^(scale (score - greatest)), and the gradients
// of the probabilities that dropout left and scaled into those of all.
INLINE Sums softmax_sums(float *scores, float *grads, int64_t n, const uint8_t *bits, float scale, float kept_scale) {
  const float most = greatest_of(scores, n);
  const Exponent exponent = base_e(scale);
  floats total = {}, product = {};
  each(0, n, [&](int64_t j, int64_t count) {
    floats e = fill_from(power_of_two(load(scores + j) - most, exponent), count, 0.0f);
    floats g = keep(load(grads + j) * kept_scale, bits, j);
    store(scores + j, e);
    store(grads + j, g);
    total += e;
    product += e * g;
  });
  const float factor = 1.0f / sum(total);
  return {factor, sum(product) * factor};
}

// softmax_backward turns a row of scores into the probabilities that dropout left, and
// the gradients of those into the gradients of the scores.
INLINE void softmax_backward(float *scores, float *grads, int64_t n, const uint8_t *bits, float kept_scale) {
  const Sums sums = softmax_sums(scores, grads, n, bits, 1, kept_scale);
  for (int64_t j = 0; j < n; j += lanes) {
    floats p = load(scores + j) * sums.factor;
    store(grads + j, p * (load(grads + j) - sums.mean));
    store(scores + j, keep(p * kept_scale, bits, j));
  }
}

} // namespace
