// bf16 in the pairs that AVX-512's instruction for them multiplies: two along a product's
// depth, in a word of 32 bits.
#pragma once
#include "head.h"

namespace {

// A matrix of pairs, the first in the lower half of a word.
using Pairs = RowsOf<uint32_t>;

INLINE int64_t half(int64_t n) { return (n + 1) / 2; }

// The first count elements, all where there are as many; the others are 0.
INLINE words load_pairs(const bfloat16 *p, int64_t count) {
  const __mmask32 mask = count >= 2 * lanes ? ~__mmask32(0) : (__mmask32(1) << count) - 1;
  return (words)_mm512_maskz_loadu_epi16(mask, p);
}
INLINE words load_halves(const bfloat16 *p, int64_t count) {
  const __mmask16 mask = count >= lanes ? __mmask16(~0) : __mmask16((1 << count) - 1);
  return (words)_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p));
}

// pair_columns copies rows of a head: word (i, j) is columns 2j and 2j + 1 of row i, as
// they stand. Rows are padded with zeros.
INLINE void pair_columns(const Matrix &from, int64_t first, int64_t rows, int64_t column, int64_t width, Pairs to) {
  for (int64_t i = 0; i < rows; i++) {
    const bfloat16 *row = (const bfloat16 *)from.data + (first + i) * from.stride + column;
    next_head(row, width);
    for (int64_t j = 0; j < width; j += 2 * lanes) store(to.data + i * to.stride + j / 2, load_pairs(row + j, width - j));
  }
}

// pair_rows: word (i, j) is rows 2i and 2i + 1 of column j; after the last row stands 0.
INLINE void pair_rows(const Matrix &from, int64_t first, int64_t rows, int64_t column, int64_t width, Pairs to) {
  for (int64_t i = 0; i < rows; i += 2) {
    const bfloat16 *row = (const bfloat16 *)from.data + (first + i) * from.stride + column;
    next_head(row, width);
    if (i + 1 < rows) next_head(row + from.stride, width);
    for (int64_t j = 0; j < width; j += lanes) {
      words low = load_halves(row + j, width - j), high = {};
      if (i + 1 < rows) high = load_halves(row + from.stride + j, width - j);
      store(to.data + i / 2 * to.stride + j, low | high << 16);
    }
  }
}

// transpose of 16 rows of 16 words.
INLINE void transpose(words r[lanes]) {
  __m512i t[lanes], u[lanes];
#pragma GCC unroll 8
  for (int i = 0; i < lanes; i += 2) {
    t[i] = _mm512_unpacklo_epi32((__m512i)r[i], (__m512i)r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32((__m512i)r[i], (__m512i)r[i + 1]);
  }
  // A quarter q of u[4i + c] is column 4q + c of rows 4i to 4i + 3.
#pragma GCC unroll 4
  for (int i = 0; i < lanes; i += 4) {
    u[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    u[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    u[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    u[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; c++) {
    __m512i even0 = _mm512_shuffle_i32x4(u[c], u[4 + c], 0x88), even1 = _mm512_shuffle_i32x4(u[8 + c], u[12 + c], 0x88);
    __m512i odd0 = _mm512_shuffle_i32x4(u[c], u[4 + c], 0xdd), odd1 = _mm512_shuffle_i32x4(u[8 + c], u[12 + c], 0xdd);
    r[c] = (words)_mm512_shuffle_i32x4(even0, even1, 0x88);
    r[4 + c] = (words)_mm512_shuffle_i32x4(odd0, odd1, 0x88);
    r[8 + c] = (words)_mm512_shuffle_i32x4(even0, even1, 0xdd);
    r[12 + c] = (words)_mm512_shuffle_i32x4(odd0, odd1, 0xdd);
  }
}

// pair_transposed: word (j, i) is columns 2j and 2j + 1 of row i. Rows of words are padded
// to a multiple of lanes with those of the last row, which cost no branch as zeros would.
INLINE void pair_transposed(const Matrix &from, int64_t first, int64_t rows, int64_t column, int64_t width, Pairs to) {
  for (int64_t i = 0; i < rows; i += lanes) {
    const bfloat16 *row = (const bfloat16 *)from.data + (first + i) * from.stride + column;
    const int64_t last = rows - 1 - i < lanes ? rows - 1 - i : lanes - 1;
    for (int64_t k = 0; k <= last; k++) next_head(row + k * from.stride, width);
    for (int64_t j = 0; j < width; j += 2 * lanes) {
      words block[lanes];
#pragma GCC unroll 16
      for (int k = 0; k < lanes; k++) block[k] = load_pairs(row + (k < last ? k : last) * from.stride + j, width - j);
      transpose(block);
#pragma GCC unroll 16
      for (int k = 0; k < lanes; k++)
        if (j + 2 * k < width) store(to.data + (j / 2 + k) * to.stride + i, block[k]);
    }
  }
}

// narrow is two vectors of fp32 as bf16, one after the other; pair makes words of those.
INLINE __m512i narrow(floats first, floats second) { return (__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first); }
INLINE words pair(__m512i narrowed) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return (words)_mm512_permutexvar_epi16(order, narrowed);
}

} // namespace
