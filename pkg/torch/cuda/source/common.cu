// What all kernels share. A program is compiled for one element type and one row length:
//
//	BF16          1: elements are bf16, 0: fp32
//	HIDDEN        elements of a row
//	VEC           elements that a thread reads at once: 16 bytes, or 1 where rows are not aligned
//	WARPS         warps that share a row, a power of two
//
// A row is shared so that each thread has ITEMS · VEC ≤ 32 of its elements, VEC side by side.

typedef unsigned int u32;
typedef unsigned long long u64;

#define ROW_THREADS (32 * WARPS)
#define BLOCK_ROWS (WARPS == 1 ? 4 : 1)
#define BLOCK_THREADS (ROW_THREADS * BLOCK_ROWS)
#define ITEMS ((HIDDEN + ROW_THREADS * VEC - 1) / (ROW_THREADS * VEC))
#define WHOLE (HIDDEN % (ROW_THREADS * VEC) == 0)
#define ALL_LANES 0xffffffffu

#if BF16
typedef unsigned short element;

__device__ __forceinline__ float widen(u32 bits) { return __uint_as_float(bits << 16); }

// To the nearest, ties to even, as libtorch does.
__device__ __forceinline__ u32 narrow(float x) {
#if __CUDA_ARCH__ >= 800
  unsigned short bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
#else
  u32 bits = __float_as_uint(x);
  return x != x ? 0x7fc0u : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
#endif
}
#else
typedef float element;
#endif

#if VEC == 1
__device__ __forceinline__ void load(const element *from, float *x) {
#if BF16
  x[0] = widen(*from);
#else
  x[0] = *from;
#endif
}
__device__ __forceinline__ void store(element *to, const float *x) {
#if BF16
  *to = (element)narrow(x[0]);
#else
  *to = x[0];
#endif
}
#elif BF16 // VEC 8
__device__ __forceinline__ void load(const element *from, float *x) {
  uint4 v = *(const uint4 *)from;
  x[0] = widen(v.x), x[1] = __uint_as_float(v.x & 0xffff0000u);
  x[2] = widen(v.y), x[3] = __uint_as_float(v.y & 0xffff0000u);
  x[4] = widen(v.z), x[5] = __uint_as_float(v.z & 0xffff0000u);
  x[6] = widen(v.w), x[7] = __uint_as_float(v.w & 0xffff0000u);
}
__device__ __forceinline__ void store(element *to, const float *x) {
  uint4 v;
  v.x = narrow(x[0]) | narrow(x[1]) << 16;
  v.y = narrow(x[2]) | narrow(x[3]) << 16;
  v.z = narrow(x[4]) | narrow(x[5]) << 16;
  v.w = narrow(x[6]) | narrow(x[7]) << 16;
  *(uint4 *)to = v;
}
#else // VEC 4
__device__ __forceinline__ void load(const element *from, float *x) {
  float4 v = *(const float4 *)from;
  x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
}
__device__ __forceinline__ void store(element *to, const float *x) { *(float4 *)to = make_float4(x[0], x[1], x[2], x[3]); }
#endif

// The columns of this thread's item i begin here; not all may be inside the row.
__device__ __forceinline__ int column_of(int i) { return (i * ROW_THREADS + (int)threadIdx.x % ROW_THREADS) * VEC; }
__device__ __forceinline__ bool inside(int column) { return WHOLE || column < HIDDEN; }

// Dropout as a function of (seed, site, example, position, column): see metatt_drop. The
// seed stands on the device, where a graph's replay finds that of its step.
struct drop {
  const int *offsets; // (sequences+1)
  const int *keys;    // (sequences)
  const u64 *seed;
  int sequences;
  int site;
  u32 threshold; // 0: no dropout
  float scale;   // of what is kept
};

// Philox4x32-10 (Salmon et al. 2011).
__device__ __forceinline__ uint4 philox(u32 k0, u32 k1, u32 c0, u32 c1, u32 c2, u32 c3) {
#pragma unroll
  for (int round = 0; round < 10; round++) {
    u32 high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
    u32 high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
    c0 = high1 ^ c1 ^ k0, c1 = low1, c2 = high0 ^ c3 ^ k1, c3 = low0;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  uint4 words;
  words.x = c0, words.y = c1, words.z = c2, words.w = c3;
  return words;
}

// What is the same for a row's decisions.
struct row_drop {
  u32 key0, key1, position, example, site, threshold;
};

// The sequence of a row: the last that begins at or before it. A warp asks together: 32
// offsets at a time.
__device__ __forceinline__ row_drop row_of(const drop &d, int row) {
  int lane = threadIdx.x % 32, from = 0, count = d.sequences;
  while (count > 1) {
    int step = (count + 31) / 32, at = lane * step;
    bool before = at < count && d.offsets[from + at] <= row;
    int last = __popc(__ballot_sync(ALL_LANES, before)) - 1; // offsets rise, and the first is at or before row
    last = last < 0 ? 0 : last;
    from += last * step;
    count = count - last * step < step ? count - last * step : step;
  }
  u64 seed = *d.seed;
  row_drop r;
  r.key0 = (u32)seed, r.key1 = (u32)(seed >> 32);
  r.position = (u32)(row - d.offsets[from]), r.example = (u32)d.keys[from], r.site = (u32)d.site;
  r.threshold = d.threshold;
  return r;
}

// Bit e: element e of the VEC from column on is kept.
__device__ __forceinline__ u32 kept(const row_drop &r, int column) {
  uint4 w = philox(r.key0, r.key1, (u32)column / 8, r.position, r.example, r.site);
#if VEC == 8
  u32 words[4] = {w.x, w.y, w.z, w.w};
#elif VEC == 4
  bool second = column & 4;
  u32 words[2] = {second ? w.z : w.x, second ? w.w : w.y};
#else
  int place = column % 8;
  u32 word = place < 4 ? (place < 2 ? w.x : w.y) : (place < 6 ? w.z : w.w);
  u32 words[1] = {place & 1 ? word >> 16 : word};
#endif
  u32 bits = 0;
#pragma unroll
  for (int e = 0; e < VEC; e++) {
    u32 decision = words[e / 2] >> (e & 1 ? 16 : 0) & 0xffffu;
    bits |= (decision >= r.threshold ? 1u : 0u) << e;
  }
  return bits;
}
