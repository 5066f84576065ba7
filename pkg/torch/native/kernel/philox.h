// Dropout's decisions: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011).
#pragma once
#include "table.h"
#include "vector.h"

namespace {

// Counters in the even elements of each of c, in place: they become four random words. The
// odd elements hold nothing.
INLINE void philox_even(words c[4], uint64_t seed) {
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
  for (int round = 0; round < 10; round++) {
    words first = multiply_even(c[0], broadcast(0xD2511F53u)), second = multiply_even(c[2], broadcast(0xCD9E8D57u));
    c[0] = odd_to_even(second) ^ c[1] ^ k0;
    c[1] = second;
    c[2] = odd_to_even(first) ^ c[3] ^ k1;
    c[3] = first;
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
}

// One counter a lane, in place: c becomes the four random words of each.
INLINE void philox(words c[4], uint64_t seed) {
  words odd[4];
  for (int i = 0; i < 4; i++) odd[i] = odd_to_even(c[i]);
  philox_even(c, seed);
  philox_even(odd, seed);
  for (int i = 0; i < 4; i++) c[i] = interleave(c[i], even_to_odd(odd[i]));
}

INLINE int64_t blocks_of(int64_t columns) { return (columns + 7) / 8; }

// Bytes that kept_bits writes, and that [keep] may read.
INLINE int64_t bits_size(int64_t rows, int64_t blocks) { return rows * blocks + lanes; }

// kept_bits writes, for rows of one sequence from position on, a byte for each eight
// columns: a bit is set where the element is kept. Row after row, without gaps.
INLINE void kept_bits(const Masks &m, int32_t key, int64_t head, int64_t position, int64_t rows, int64_t blocks, uint8_t *out) {
  const uint32_t width = uint32_t(blocks);
  words block = lane_numbers(), row = {};
  if (width < lanes) {
    for (int i = 0; i < lanes; i++) {
      row[i] = i / width;
      block[i] = i % width;
    }
  }
  row += uint32_t(position);
  const uint32_t next_row = lanes / width, next_block = lanes % width;
  const int32_t threshold = int32_t(m.threshold);
  for (int64_t i = 0; i < rows * blocks; i += lanes) {
    words c[4] = {block, row | uint32_t(head) << 16, broadcast(uint32_t(key)), broadcast(m.site)};
    philox(c, m.seed);
    words kept = {};
    for (int w = 0; w < 4; w++) {
      ints low = (ints)(c[w] & 0xffff), high = (ints)(c[w] >> 16);
      kept |= (words)(low >= threshold) & (1u << 2 * w);
      kept |= (words)(high >= threshold) & (2u << 2 * w);
    }
    bytes packed = __builtin_convertvector(kept, bytes);
    __builtin_memcpy(out + i, &packed, sizeof packed);
    block += next_block;
    words over = (words)((ints)block >= int32_t(width));
    block -= over & width;
    row += next_row - over;
  }
}

// Rows are taken a few at a time, as many as this many bytes of bits hold.
constexpr int64_t bits_tile = 4096;

INLINE int64_t row_bits_size(int64_t n) {
  int64_t blocks = blocks_of(n);
  return bits_size(1, blocks > bits_tile ? blocks : bits_tile);
}

// by_rows calls f(row, bits) for each row in [begin, end) of (rows, n), with the bits of
// what is kept in it. bits has room for row_bits_size(n).
template <typename F>
INLINE void by_rows(const Masks &m, int64_t head, int64_t n, int64_t begin, int64_t end, uint8_t *bits, const F &f) {
  if (n == 0) return; // there is nothing to do for a row, nor a mean of it
  const int64_t blocks = blocks_of(n);
  if (m.threshold == 0) {
    __builtin_memset(bits, 0xff, blocks + lanes);
    for (int64_t row = begin; row < end; row++) f(row, bits);
    return;
  }
  int64_t sequence = 0, above = m.sequences; // the last that begins at begin or before
  while (above - sequence > 1) {
    int64_t middle = (sequence + above) / 2;
    if (m.offsets[middle] <= begin) sequence = middle;
    else above = middle;
  }
  const int64_t most = blocks < bits_tile ? bits_tile / blocks : 1;
  for (int64_t row = begin; row < end;) {
    while (m.offsets[sequence + 1] <= row) sequence++;
    int64_t rows = m.offsets[sequence + 1] - row;
    if (rows > end - row) rows = end - row;
    if (rows > most) rows = most;
    kept_bits(m, m.keys[sequence], head, row - m.offsets[sequence], rows, blocks, bits);
    for (int64_t i = 0; i < rows; i++) f(row + i, bits + i * blocks);
    row += rows;
  }
}

} // namespace
