// Attention by products of bf16, added up in fp32. What is between them is in fp32, as in
// attention_floats.h: scores, softmax, dropout. Probabilities and the scores' gradients are
// rounded to bf16 as factors alone.
#pragma once
#include "head.h"
#include "pairs.h"
#include "softmax.h"

namespace {

int64_t scratch_by_pairs(int64_t queries, int64_t keys, int64_t width) {
  const int64_t tile = tile_of(queries, keys), wide = padded(width), long_ = padded(keys);
  return 2 * tile * padded(half(width))    // q, grad by columns
         + 2 * half(tile) * wide           // q, grad by rows
         + half(keys) * wide               // k or v by rows
         + 2 * half(width) * long_         // kᵀ, vᵀ
         + 2 * keys * wide                 // grad_k, grad_v
         + 2 * (tile + 1) * long_          // scores and their gradients, and a row that fills up a pair
         + (tile + 1) * padded(half(keys)) // the scores' gradients by columns
         + tile * wide                     // a product of the tile
         + padded(tile)                    // a factor of each row
         + (bits_size(tile, blocks_of(keys)) + 63) / 64 * 16;
}

// take_pairs hands out rows of scratch as pairs.
INLINE Pairs take_pairs(Scratch &space, int64_t rows, int64_t stride) {
  return {(uint32_t *)space.take(rows, stride).data, stride};
}

void attention_by_pairs(const Attention &a, const Place &at, float *scratch) {
  const int64_t wide = padded(a.width), long_ = padded(at.keys), blocks = blocks_of(at.keys), tile = tile_of(at.queries, at.keys);
  Scratch space = {scratch};
  Pairs q = take_pairs(space, tile, padded(half(a.width)));
  Pairs kt = take_pairs(space, half(a.width), long_), v = take_pairs(space, half(at.keys), wide);
  Rows scores = space.take(tile, long_), out = space.take(tile, wide);
  float *factors = space.take(1, padded(tile)).data;
  uint8_t *bits = (uint8_t *)space.next;
  pair_transposed(a.k, at.key, at.keys, at.column, a.width, kt);
  pair_rows(a.v, at.key, at.keys, at.column, a.width, v);
  for (int64_t first = 0; first < at.queries; first += tile) {
    const int64_t rows = at.queries - first < tile ? at.queries - first : tile;
    pair_columns(a.q, at.query + first, rows, at.column, a.width, q);
    product(rows, long_, half(a.width), {q.data, q.stride, 1}, kt, scores, false);
    tile_bits(a, at, first, rows, blocks, bits);
    for (int64_t i = 0; i < rows; i++) {
      float *row = scores.data + i * long_; // whose first half the probabilities take
      factors[i] = a.masks.scale / exponentials(row, at.keys, bits + i * blocks, a.scale, (bfloat16 *)row);
    }
    product(rows, wide, half(at.keys), {(uint32_t *)scores.data, long_, 1}, v, out, false); // (rows, keys) x (keys, width)
    for (int64_t i = 0; i < rows; i++) copy_out<bfloat16>({out.data + i * wide, wide}, a.out, at.query + first + i, 1, at.column, a.width, factors[i]);
  }
}

// softmax_backward_pair is softmax_backward of two rows, or of one and zeros: pairs of rows,
// in the first one's place. The scores' gradients go by columns into columns too.
INLINE void softmax_backward_pair(bool both, Rows scores, Rows grads, int64_t n, const uint8_t *bits, int64_t blocks, float scale, float kept_scale, Pairs columns) {
  const uint8_t *const kept[2] = {bits, both ? bits + blocks : bits};
  Sums sums[2] = {softmax_sums(scores.data, grads.data, n, kept[0], scale, kept_scale)};
  if (both) {
    sums[1] = softmax_sums(scores.data + scores.stride, grads.data + grads.stride, n, kept[1], scale, kept_scale);
  } else {
    __builtin_memset(scores.data + scores.stride, 0, padded(n) * sizeof(float));
    __builtin_memset(grads.data + grads.stride, 0, padded(n) * sizeof(float));
  }
  for (int64_t j = 0; j < n; j += lanes) {
    floats p[2], g[2];
    for (int i = 0; i < 2; i++) {
      p[i] = load(scores.data + i * scores.stride + j) * sums[i].factor;
      g[i] = p[i] * (load(grads.data + i * grads.stride + j) - sums[i].mean);
      p[i] = keep(p[i] * kept_scale, kept[i], j);
    }
    const __m512i narrowed = narrow(g[0], g[1]);
    store((uint32_t *)scores.data + j, pair(narrow(p[0], p[1])));
    store((uint32_t *)grads.data + j, pair(narrowed));
    _mm256_storeu_si256((__m256i *)(columns.data + j / 2), _mm512_castsi512_si256(narrowed));
    _mm256_storeu_si256((__m256i *)(columns.data + columns.stride + j / 2), _mm512_extracti64x4_epi64(narrowed, 1));
  }
}

void attention_backward_by_pairs(const Attention &a, const Place &at, float *scratch) {
  const int64_t wide = padded(a.width), long_ = padded(at.keys), blocks = blocks_of(at.keys), tile = tile_of(at.queries, at.keys);
  Scratch space = {scratch};
  Pairs q = take_pairs(space, tile, padded(half(a.width))), grad = take_pairs(space, tile, padded(half(a.width)));
  Pairs q_rows = take_pairs(space, half(tile), wide), grad_rows = take_pairs(space, half(tile), wide);
  Pairs k_rows = take_pairs(space, half(at.keys), wide), kt = take_pairs(space, half(a.width), long_), vt = take_pairs(space, half(a.width), long_);
  Rows grad_k = space.take(at.keys, wide), grad_v = space.take(at.keys, wide);
  Rows scores = space.take(2 * half(tile), long_), grads = space.take(2 * half(tile), long_), grad_q = space.take(tile, wide);
  Pairs columns = take_pairs(space, 2 * half(tile), padded(half(at.keys)));
  uint8_t *bits = (uint8_t *)space.next;
  pair_transposed(a.k, at.key, at.keys, at.column, a.width, kt);
  pair_transposed(a.v, at.key, at.keys, at.column, a.width, vt);
  if (a.grad_q.data) pair_rows(a.k, at.key, at.keys, at.column, a.width, k_rows);
  for (int64_t first = 0; first < at.queries; first += tile) {
    const int64_t rows = at.queries - first < tile ? at.queries - first : tile;
    pair_columns(a.q, at.query + first, rows, at.column, a.width, q);
    pair_columns(a.grad, at.query + first, rows, at.column, a.width, grad);
    product(rows, long_, half(a.width), {q.data, q.stride, 1}, kt, scores, false);
    product(rows, long_, half(a.width), {grad.data, grad.stride, 1}, vt, grads, false);
    tile_bits(a, at, first, rows, blocks, bits);
    for (int64_t i = 0; i < rows; i += 2)
      softmax_backward_pair(i + 1 < rows, {scores.data + i * long_, long_}, {grads.data + i * long_, long_}, at.keys, bits + i * blocks, blocks,
                            a.scale, a.masks.scale, {columns.data + i * columns.stride, columns.stride});
    if (a.grad_v.data) {
      pair_rows(a.grad, at.query + first, rows, at.column, a.width, grad_rows);
      product(at.keys, wide, half(rows), {(uint32_t *)scores.data, 1, 2 * long_}, grad_rows, grad_v, first > 0);
    }
    if (a.grad_k.data) {
      pair_rows(a.q, at.query + first, rows, at.column, a.width, q_rows);
      product(at.keys, wide, half(rows), {(uint32_t *)grads.data, 1, 2 * long_}, q_rows, grad_k, first > 0);
    }
    if (a.grad_q.data) {
      product(rows, wide, half(at.keys), {columns.data, columns.stride, 1}, k_rows, grad_q, false);
      copy_out<bfloat16>(grad_q, a.grad_q, at.query + first, rows, at.column, a.width, a.scale);
    }
  }
  if (a.grad_k.data) copy_out<bfloat16>(grad_k, a.grad_k, at.key, at.keys, at.column, a.width, a.scale);
  if (a.grad_v.data) copy_out<bfloat16>(grad_v, a.grad_v, at.key, at.keys, at.column, a.width, 1);
}

} // namespace
