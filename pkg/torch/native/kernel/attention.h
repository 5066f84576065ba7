// Attention of one head within one sequence. What it multiplies is copied into scratch
// first, in fp32, close together: a few rows of (length, width) beside the products'
// (length, length, width). Queries are taken in tiles, whose probabilities lie in the
// cache; backward computes them again in the same way.
#pragma once
#include "philox.h"
#include "product.h"

namespace {

INLINE int64_t padded(int64_t n) { return (n + lanes - 1) / lanes * lanes; }

// Queries whose rows of probabilities fit into 64 KB.
INLINE int64_t tile_of(int64_t queries, int64_t keys) {
  int64_t tile = 16384 / padded(keys) / tile_rows * tile_rows;
  if (tile < tile_rows) tile = tile_rows;
  return tile < queries ? tile : queries;
}

// Scratch hands out rows of floats.
struct Scratch {
  float *next;
  Rows take(int64_t rows, int64_t stride) {
    Rows taken = {next, stride};
    next += rows * stride;
    return taken;
  }
};

int64_t attention_scratch(int64_t queries, int64_t keys, int64_t width) {
  const int64_t tile = tile_of(queries, keys), wide = padded(width), long_ = padded(keys);
  return 3 * tile * wide          // q, grad and a product of the tile
         + 4 * keys * wide        // k, v, grad_k, grad_v
         + 2 * width * long_      // kᵀ, vᵀ
         + 2 * tile * long_       // probabilities and their gradients
         + padded(tile)           // a factor of each row
         + (bits_size(tile, blocks_of(keys)) + 63) / 64 * 16;
}

// copy_in copies rows of a head, times scale, padded with zeros.
template <typename T>
INLINE void copy_in(const Matrix &from, int64_t first, int64_t rows, int64_t column, int64_t width, float scale, Rows to) {
  for (int64_t i = 0; i < rows; i++) {
    const T *row = (const T *)from.data + (first + i) * from.stride + column;
    each(0, width, [&](int64_t j, int64_t count) { store(to.data + i * to.stride + j, load_most(row + j, count) * scale); });
  }
}

template <typename T>
INLINE void copy_out(Rows from, const Matrix &to, int64_t first, int64_t rows, int64_t column, int64_t width, float scale) {
  for (int64_t i = 0; i < rows; i++) {
    T *row = (T *)to.data + (first + i) * to.stride + column;
    each(0, width, [&](int64_t j, int64_t count) { store_most(row + j, load(from.data + i * from.stride + j) * scale, count); });
  }
}

template <typename T>
INLINE void zero_out(const Matrix &to, int64_t first, int64_t rows, int64_t column, int64_t width) {
  for (int64_t i = 0; i < rows; i++) __builtin_memset((T *)to.data + (first + i) * to.stride + column, 0, width * sizeof(T));
}

// Where a head of a sequence stands.
struct Place {
  int64_t query, queries, key, keys, column;
};

INLINE Place place(const Attention &a, int64_t sequence, int64_t head) {
  return {a.query_offsets[sequence], a.query_offsets[sequence + 1] - a.query_offsets[sequence],
          a.key_offsets[sequence], a.key_offsets[sequence + 1] - a.key_offsets[sequence], head * a.width};
}

INLINE void tile_bits(const Attention &a, int64_t sequence, int64_t head, int64_t position, int64_t rows, int64_t blocks, uint8_t *bits) {
  if (a.masks.threshold == 0) __builtin_memset(bits, 0xff, bits_size(rows, blocks));
  else kept_bits(a.masks, a.masks.keys[sequence], head, position, rows, blocks, bits);
}

// greatest_of is the greatest score of a row.
INLINE float greatest_of(const float *row, int64_t n) {
  const float lowest = -__builtin_inff();
  floats most = broadcast(lowest);
  each(0, n, [&](int64_t j, int64_t count) { most = greater(most, fill_from(load(row + j), count, lowest)); });
  return greatest(most);
}

// exponentials turns a row of scores into e^(score - greatest), those that are dropped
// into 0, and returns the sum of all.
INLINE float exponentials(float *row, int64_t n, const uint8_t *bits) {
  const float most = greatest_of(row, n);
  floats total = {};
  each(0, n, [&](int64_t j, int64_t count) {
    floats e = fill_from(exponential(load(row + j) - most), count, 0.0f);
    total += e;
    store(row + j, keep(e, bits, j));
  });
  return sum(total);
}

template <typename T>
INLINE void attention_of(const Attention &a, int64_t sequence, int64_t head, float *scratch) {
  const Place at = place(a, sequence, head);
  if (at.queries == 0) return;
  if (at.keys == 0) {
    zero_out<T>(a.out, at.query, at.queries, at.column, a.width);
    return;
  }
  const int64_t wide = padded(a.width), blocks = blocks_of(at.keys), tile = tile_of(at.queries, at.keys);
  Scratch space = {scratch};
  Rows q = space.take(tile, wide), k = space.take(at.keys, wide), v = space.take(at.keys, wide);
  Rows kt = space.take(a.width, padded(at.keys)), scores = space.take(tile, padded(at.keys)), out = space.take(tile, wide);
  float *factors = space.take(1, padded(tile)).data;
  uint8_t *bits = (uint8_t *)space.next;
  copy_in<T>(a.k, at.key, at.keys, at.column, a.width, 1, k);
  copy_in<T>(a.v, at.key, at.keys, at.column, a.width, 1, v);
  transpose(at.keys, a.width, k, kt);
  for (int64_t first = 0; first < at.queries; first += tile) {
    const int64_t rows = at.queries - first < tile ? at.queries - first : tile;
    copy_in<T>(a.q, at.query + first, rows, at.column, a.width, a.scale, q);
    product(rows, padded(at.keys), a.width, {q.data, q.stride, 1}, kt, scores, false);
    tile_bits(a, sequence, head, first, rows, blocks, bits);
    for (int64_t i = 0; i < rows; i++) factors[i] = a.masks.scale / exponentials(scores.data + i * scores.stride, at.keys, bits + i * blocks);
    product(rows, wide, at.keys, {scores.data, scores.stride, 1}, v, out, false); // (rows, keys) x (keys, width)
    for (int64_t i = 0; i < rows; i++) copy_out<T>({out.data + i * wide, wide}, a.out, at.query + first + i, 1, at.column, a.width, factors[i]);
  }
}

void attention(const Attention *a, int64_t sequence, int64_t head, float *scratch) {
  if (a->bf16) attention_of<bfloat16>(*a, sequence, head, scratch);
  else attention_of<float>(*a, sequence, head, scratch);
}

// softmax_backward turns a row of scores into the probabilities that dropout left, and
// the gradients of those into the gradients of the scores.
INLINE void softmax_backward(float *scores, float *grads, int64_t n, const uint8_t *bits, float scale) {
  const float most = greatest_of(scores, n);
  floats total = {}, product = {};
  each(0, n, [&](int64_t j, int64_t count) {
    floats e = fill_from(exponential(load(scores + j) - most), count, 0.0f);
    floats g = keep(load(grads + j) * scale, bits, j);
    store(scores + j, e);
    store(grads + j, g);
    total += e;
    product += e * g;
  });
  const float factor = 1.0f / sum(total), mean = sum(product) * factor;
  for (int64_t j = 0; j < n; j += lanes) {
    floats p = load(scores + j) * factor;
    store(grads + j, p * (load(grads + j) - mean));
    store(scores + j, keep(p * scale, bits, j));
  }
}

template <typename T>
INLINE void attention_backward_of(const Attention &a, int64_t sequence, int64_t head, float *scratch) {
  const Place at = place(a, sequence, head);
  if (at.queries == 0 || at.keys == 0) {
    if (a.grad_q.data) zero_out<T>(a.grad_q, at.query, at.queries, at.column, a.width);
    if (a.grad_k.data) zero_out<T>(a.grad_k, at.key, at.keys, at.column, a.width);
    if (a.grad_v.data) zero_out<T>(a.grad_v, at.key, at.keys, at.column, a.width);
    return;
  }
  const int64_t wide = padded(a.width), long_ = padded(at.keys), blocks = blocks_of(at.keys), tile = tile_of(at.queries, at.keys);
  Scratch space = {scratch};
  Rows q = space.take(tile, wide), grad = space.take(tile, wide);
  Rows k = space.take(at.keys, wide), v = space.take(at.keys, wide), kt = space.take(a.width, long_), vt = space.take(a.width, long_);
  Rows grad_k = space.take(at.keys, wide), grad_v = space.take(at.keys, wide);
  Rows scores = space.take(tile, long_), grads = space.take(tile, long_), grad_q = space.take(tile, wide);
  uint8_t *bits = (uint8_t *)space.next;
  copy_in<T>(a.k, at.key, at.keys, at.column, a.width, 1, k);
  copy_in<T>(a.v, at.key, at.keys, at.column, a.width, 1, v);
  transpose(at.keys, a.width, k, kt);
  transpose(at.keys, a.width, v, vt);
  for (int64_t first = 0; first < at.queries; first += tile) {
    const int64_t rows = at.queries - first < tile ? at.queries - first : tile;
    copy_in<T>(a.q, at.query + first, rows, at.column, a.width, a.scale, q);
    copy_in<T>(a.grad, at.query + first, rows, at.column, a.width, 1, grad);
    product(rows, long_, a.width, {q.data, q.stride, 1}, kt, scores, false);
    product(rows, long_, a.width, {grad.data, grad.stride, 1}, vt, grads, false);
    tile_bits(a, sequence, head, first, rows, blocks, bits);
    for (int64_t i = 0; i < rows; i++) softmax_backward(scores.data + i * long_, grads.data + i * long_, at.keys, bits + i * blocks, a.masks.scale);
    if (a.grad_v.data) product(at.keys, wide, rows, {scores.data, 1, long_}, grad, grad_v, first > 0);
    if (a.grad_k.data) product(at.keys, wide, rows, {grads.data, 1, long_}, q, grad_k, first > 0);
    if (a.grad_q.data) {
      product(rows, wide, at.keys, {grads.data, long_, 1}, k, grad_q, false);
      copy_out<T>(grad_q, a.grad_q, at.query + first, rows, at.column, a.width, a.scale);
    }
  }
  if (a.grad_k.data) copy_out<T>(grad_k, a.grad_k, at.key, at.keys, at.column, a.width, 1);
  if (a.grad_v.data) copy_out<T>(grad_v, a.grad_v, at.key, at.keys, at.column, a.width, 1);
}

void attention_backward(const Attention *a, int64_t sequence, int64_t head, float *scratch) {
  if (a->bf16) attention_backward_of<bfloat16>(*a, sequence, head, scratch);
  else attention_backward_of<float>(*a, sequence, head, scratch);
}

} // namespace
