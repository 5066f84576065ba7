// Where one head of one sequence stands, its scratch and its mask.
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

// next_head asks for the row of the head behind this one, whose turn is next: rows stand far
// apart, and the processor foresees their lines badly.
template <typename T>
INLINE void next_head(const T *row, int64_t width) {
  const char *next = (const char *)(row + width);
  for (int64_t i = 0; i < width * int64_t(sizeof(T)); i += 64) __builtin_prefetch(next + i, 0, 2);
}

// copy_in copies rows of a head, times scale, padded with zeros.
template <typename T>
INLINE void copy_in(const Matrix &from, int64_t first, int64_t rows, int64_t column, int64_t width, float scale, Rows to) {
  for (int64_t i = 0; i < rows; i++) {
    const T *row = (const T *)from.data + (first + i) * from.stride + column;
    next_head(row, width);
    each(0, width, [&](int64_t j, int64_t count) { store(to.data + i * to.stride + j, load_most(row + j, count) * scale); });
  }
}

template <typename T>
INLINE void copy_out(Rows from, const Matrix &to, int64_t first, int64_t rows, int64_t column, int64_t width, float scale) {
  for (int64_t i = 0; i < rows; i++) {
    T *row = (T *)to.data + (first + i) * to.stride + column;
    next_head(row, width);
    each(0, width, [&](int64_t j, int64_t count) { store_most(row + j, load(from.data + i * from.stride + j) * scale, count); });
  }
}

template <typename T>
INLINE void zero_rows(const Matrix &to, int64_t first, int64_t rows, int64_t column, int64_t width) {
  for (int64_t i = 0; i < rows; i++) __builtin_memset((T *)to.data + (first + i) * to.stride + column, 0, width * sizeof(T));
}

// Where a head of a sequence stands.
struct Place {
  int64_t sequence, head, query, queries, key, keys, column;
};

INLINE Place place(const Attention &a, int64_t sequence, int64_t head) {
  return {sequence, head, a.query_offsets[sequence], a.query_offsets[sequence + 1] - a.query_offsets[sequence],
          a.key_offsets[sequence], a.key_offsets[sequence + 1] - a.key_offsets[sequence], head * a.width};
}

INLINE void tile_bits(const Attention &a, const Place &at, int64_t position, int64_t rows, int64_t blocks, uint8_t *bits) {
  if (a.masks.threshold == 0) __builtin_memset(bits, 0xff, bits_size(rows, blocks));
  else kept_bits(a.masks, a.masks.keys[at.sequence], at.head, position, rows, blocks, bits);
}

} // namespace
