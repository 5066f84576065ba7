// The derivative of the Gaussian error linear unit, x Φ(x), exact or in its tanh
// approximation.
#pragma once
#include "table.h"
#include "vector.h"

namespace {

// Φ(x) and its derivative. erf is 7.1.26 of Abramowitz and Stegun, right to 1.5e-7, of
// which e^(-x²/2) is a part.
INLINE void normal(floats x, floats &phi, floats &density) {
  floats size = x < 0.0f ? -x : x;
  floats t = inverse(size * 0.23164189f + 1.0f); // 0.3275911 / √2
  floats e = exponential(x * x * -0.5f);
  floats p = t * 1.061405429f - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  floats tail = p * t * e * 0.5f; // Φ(-|x|)
  phi = x < 0.0f ? tail : 1.0f - tail;
  density = e * 0.3989422804f; // 1 / √(2π)
}

// The approximation of Φ(x) by (1 + tanh(u(x)))/2, a logistic function of 2u, and the
// derivative of it.
INLINE void tanh_normal(floats x, floats &phi, floats &density) {
  floats square = x * x;
  floats u = x * (square * 0.07135481283f + 1.595769122f); // 2 √(2/π) (x + 0.044715 x³)
  phi = inverse(exponential(-u) + 1.0f);
  density = phi * (1.0f - phi) * (square * 0.21406443849f + 1.595769122f);
}

template <bool approximate>
INLINE floats gelu_slope(floats x) {
  // Beyond, the slope is 0 or 1: nothing overflows, and NaN stays.
  const floats far = broadcast(64.0f);
  x = lesser(far, greater(-far, x));
  floats phi, density;
  if (approximate) tanh_normal(x, phi, density);
  else normal(x, phi, density);
  return phi + x * density;
}

template <typename T, bool approximate>
INLINE void gelu_backward_range(const GELU &a, int64_t begin, int64_t end) {
  each(begin, end, [&](int64_t i, int64_t count) {
    floats slope = gelu_slope<approximate>(load_most((const T *)a.in + i, count));
    store_most((T *)a.out + i, slope * load_most((const T *)a.grad + i, count), count);
  });
}

void gelu_backward(const GELU *a, int64_t begin, int64_t end) {
  if (a->bf16 && a->tanh) gelu_backward_range<bfloat16, true>(*a, begin, end);
  else if (a->bf16) gelu_backward_range<bfloat16, false>(*a, begin, end);
  else if (a->tanh) gelu_backward_range<float, true>(*a, begin, end);
  else gelu_backward_range<float, false>(*a, begin, end);
}

} // namespace
