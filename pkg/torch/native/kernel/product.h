// Products of small matrices that lie in the cache.
#pragma once
#include "vector.h"

namespace {

// A left factor: element (i, j) is data[i * row + j * column].
template <typename T>
struct Left {
  const T *data;
  int64_t row, column;
};

// A matrix in rows of stride elements.
template <typename T>
struct RowsOf {
  T *data;
  int64_t stride;
};
using Rows = RowsOf<float>;

INLINE void add_product(floats &total, floats left, floats right) { total += left * right; }
#if defined(KERNELS_AVX512BF16)
// Two bf16 in a word each: what is below the exponents of fp32 is 0.
INLINE void add_product(floats &total, words left, words right) {
  total = (floats)_mm512_dpbf16_ps((__m512)total, (__m512bh)left, (__m512bh)right);
}
#endif

// rows × (columns · lanes) elements of c [+]= a b, in registers.
template <int rows, int columns, typename T>
INLINE void product_tile(int64_t depth, Left<T> a, RowsOf<T> b, Rows c, bool add) {
  floats total[rows][columns];
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < columns; j++) total[i][j] = add ? load(c.data + i * c.stride + j * lanes) : floats{};
  for (int64_t k = 0; k < depth; k++) {
    decltype(load(b.data)) right[columns];
    for (int j = 0; j < columns; j++) right[j] = load(b.data + k * b.stride + j * lanes);
    for (int i = 0; i < rows; i++) {
      const auto left = broadcast(element(a.data + i * a.row + k * a.column));
      for (int j = 0; j < columns; j++) add_product(total[i][j], left, right[j]);
    }
  }
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < columns; j++) store(c.data + i * c.stride + j * lanes, total[i][j]);
}

template <int columns, typename T>
void product_panel(int64_t rows, int64_t depth, Left<T> a, RowsOf<T> b, Rows c, bool add) {
  for (; rows >= tile_rows; rows -= tile_rows) {
    product_tile<tile_rows, columns, T>(depth, a, b, c, add);
    a.data += tile_rows * a.row;
    c.data += tile_rows * c.stride;
  }
  switch (rows) {
  case 7: product_tile<7, columns, T>(depth, a, b, c, add); break;
  case 6: product_tile<6, columns, T>(depth, a, b, c, add); break;
  case 5: product_tile<5, columns, T>(depth, a, b, c, add); break;
  case 4: product_tile<4, columns, T>(depth, a, b, c, add); break;
  case 3: product_tile<3, columns, T>(depth, a, b, c, add); break;
  case 2: product_tile<2, columns, T>(depth, a, b, c, add); break;
  case 1: product_tile<1, columns, T>(depth, a, b, c, add); break;
  }
}

// product is c = a b, or c += a b, for a (rows, depth) and b (depth, columns); columns is
// a multiple of lanes. An element of a and b is a float, or a word: two bf16 along the depth.
template <typename T>
INLINE void product(int64_t rows, int64_t columns, int64_t depth, Left<T> a, RowsOf<T> b, Rows c, bool add) {
  int64_t j = 0;
  for (; j + 2 * lanes <= columns; j += 2 * lanes) product_panel<2, T>(rows, depth, a, {b.data + j, b.stride}, {c.data + j, c.stride}, add);
  if (j < columns) product_panel<1, T>(rows, depth, a, {b.data + j, b.stride}, {c.data + j, c.stride}, add);
}

// transpose writes a (rows, columns) into b (columns, rows), b's rows being padded to a
// multiple of lanes with zeros. a's rows are padded likewise.
INLINE void transpose(int64_t rows, int64_t columns, Rows a, Rows b) {
  const int64_t padded = (rows + lanes - 1) / lanes * lanes;
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    const float *from = a.data + i * a.stride;
    int64_t j = 0;
    for (; j + 4 <= columns; j += 4) {
      __m128 r0 = _mm_loadu_ps(from + j), r1 = _mm_loadu_ps(from + a.stride + j);
      __m128 r2 = _mm_loadu_ps(from + 2 * a.stride + j), r3 = _mm_loadu_ps(from + 3 * a.stride + j);
      _MM_TRANSPOSE4_PS(r0, r1, r2, r3);
      float *to = b.data + j * b.stride + i;
      _mm_storeu_ps(to, r0);
      _mm_storeu_ps(to + b.stride, r1);
      _mm_storeu_ps(to + 2 * b.stride, r2);
      _mm_storeu_ps(to + 3 * b.stride, r3);
    }
    for (; j < columns; j++)
      for (int k = 0; k < 4; k++) b.data[j * b.stride + i + k] = from[k * a.stride + j];
  }
  for (; i < padded; i++)
    for (int64_t j = 0; j < columns; j++) b.data[j * b.stride + i] = i < rows ? a.data[i * a.stride + j] : 0.0f;
}

} // namespace
