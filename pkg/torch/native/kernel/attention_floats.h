// Attention by products of fp32: what they multiply is copied into scratch first, close
// together, a few rows of (length, width) beside the products' (length, length, width).
// Queries are taken in tiles, whose probabilities lie in the cache; backward computes them
// again in the same way.
#pragma once
#include "head.h"
#include "softmax.h"

namespace {

int64_t scratch_by_floats(int64_t queries, int64_t keys, int64_t width) {
  const int64_t tile = tile_of(queries, keys), wide = padded(width), long_ = padded(keys);
  return 3 * tile * wide          // q, grad and a product of the tile
         + 4 * keys * wide        // k, v, grad_k, grad_v
         + 2 * width * long_      // kᵀ, vᵀ
         + 2 * tile * long_       // probabilities and their gradients
         + padded(tile)           // a factor of each row
         + (bits_size(tile, blocks_of(keys)) + 63) / 64 * 16;
}

template <typename T>
INLINE void attention_by_floats(const Attention &a, const Place &at, float *scratch) {
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
    tile_bits(a, at, first, rows, blocks, bits);
    for (int64_t i = 0; i < rows; i++) {
      float *row = scores.data + i * scores.stride;
      factors[i] = a.masks.scale / exponentials(row, at.keys, bits + i * blocks, 1, row);
    }
    product(rows, wide, at.keys, {scores.data, scores.stride, 1}, v, out, false); // (rows, keys) x (keys, width)
    for (int64_t i = 0; i < rows; i++) copy_out<T>({out.data + i * wide, wide}, a.out, at.query + first + i, 1, at.column, a.width, factors[i]);
  }
}

template <typename T>
INLINE void attention_backward_by_floats(const Attention &a, const Place &at, float *scratch) {
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
    tile_bits(a, at, first, rows, blocks, bits);
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

} // namespace
