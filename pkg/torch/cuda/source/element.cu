// What all kernels share: the element type, bf16 (BF16=1) or fp32 (BF16=0).

typedef unsigned int u32;
typedef unsigned long long u64;

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

__device__ __forceinline__ float widen(float x) { return x; }
#endif
