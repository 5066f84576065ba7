// What crosses between the kernels of an instruction set and those who call them.
#pragma once
#include <stdint.h>

// Masks: a dropout mask is a function of (seed, site, example, position, head, column),
// by Philox4x32-10. An element is dropped where its 16 random bits are below threshold.
struct Masks {
  const int32_t *offsets; // (sequences + 1): where each begins
  const int32_t *keys;    // (sequences): the example that it is
  int64_t sequences;
  uint64_t seed;
  uint32_t site;
  uint32_t threshold; // of 2^16; 0: nothing is dropped, and the pointers may be null
  float scale;        // of what is kept
};

// Rows of a tensor (rows, n), bf16 or fp32, in order without gaps.
struct Dropout {
  Masks masks;
  int64_t n;
  bool bf16;
  const void *in;
  void *out;
};

// LayerNorm(residual + dropout(y)) and its gradients.
struct Norm {
  Masks masks;
  int64_t n;
  bool bf16;
  float eps;
  const float *weight, *bias; // (n)
  const void *y, *residual;   // (rows, n)
  void *out;
  void *normed; // (rows, n): before weight and bias. Forward: null is "not wanted"
  float *rstd;  // (rows): 1 / standard deviation; goes with normed
  // Backward. grad_y is null where it would equal grad_residual, as without dropout.
  const void *grad;
  void *grad_residual, *grad_y;
  float *grad_weight, *grad_bias; // (n), added to; null: not wanted
};

// The derivative of GELU: out is grad times the slope at in.
struct GELU {
  bool bf16, tanh;
  const void *in, *grad;
  void *out;
};

// A matrix whose rows stand apart: element (i, j) is data[i * stride + j].
struct Matrix {
  void *data;
  int64_t stride;
};

// softmax(scale q kᵀ) v for each sequence and head, with dropout of the probabilities.
// The masks' offsets are not read: a mask's row is the query, its column the key.
struct Attention {
  Masks masks;
  int64_t heads, width; // width of a head
  bool bf16;
  float scale;
  const int32_t *query_offsets, *key_offsets;
  Matrix q, k, v, out;
  // Backward. A null gradient is not wanted.
  Matrix grad, grad_q, grad_k, grad_v;
};

struct Kernels {
  // Floats of scratch that a call needs, aligned to 64 bytes.
  int64_t (*row_scratch)(int64_t n);
  int64_t (*attention_scratch)(int64_t queries, int64_t keys, int64_t width);

  // The mask itself, 1 for what is kept: rows [begin, end) of (rows, n) for one head.
  void (*mask)(const Masks *, int64_t head, int64_t n, int64_t begin, int64_t end, uint8_t *out, float *scratch);
  // Rows [begin, end).
  void (*dropout)(const Dropout *, int64_t begin, int64_t end, float *scratch);
  void (*norm)(const Norm *, int64_t begin, int64_t end, float *scratch);
  void (*norm_backward)(const Norm *, int64_t begin, int64_t end, float *scratch);
  // Elements [begin, end).
  void (*gelu_backward)(const GELU *, int64_t begin, int64_t end);
  void (*attention)(const Attention *, int64_t sequence, int64_t head, float *scratch);
  void (*attention_backward)(const Attention *, int64_t sequence, int64_t head, float *scratch);
};
