// Runs a kernel of this library on the CPU, a thread for a thread, to check its logic
// where there is no GPU: -DPROGRAM="norm.cu" and the macros of common.cu. Buffers are
// files of the current folder, the kernel's parameters in order; see main.
#include <pthread.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(n)
#define __shared__ static // blocks run one after the other
#define __CUDA_ARCH__ 700 // no inline assembly

struct uint4 {
  unsigned x, y, z, w;
};
struct float4 {
  float x, y, z, w;
};
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

struct place {
  unsigned x;
};
static thread_local place threadIdx, blockIdx;
static place blockDim, gridDim;

static pthread_barrier_t block_barrier, warp_barrier[32];
static uint32_t lanes[1024];

static void __syncthreads() { pthread_barrier_wait(&block_barrier); }

// What each lane of the warp gives.
static void exchange(uint32_t given, uint32_t *all) {
  unsigned warp = threadIdx.x / 32;
  lanes[threadIdx.x] = given;
  pthread_barrier_wait(&warp_barrier[warp]);
  memcpy(all, lanes + 32 * warp, 32 * sizeof *all);
  pthread_barrier_wait(&warp_barrier[warp]);
}

static float __uint_as_float(uint32_t bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}
static uint32_t __float_as_uint(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return bits;
}
static float __shfl_xor_sync(uint32_t, float x, int away) {
  uint32_t all[32];
  exchange(__float_as_uint(x), all);
  return __uint_as_float(all[(threadIdx.x % 32) ^ away]);
}
static uint32_t __ballot_sync(uint32_t, bool x) {
  uint32_t all[32], bits = 0;
  exchange(x, all);
  for (int i = 0; i < 32; i++) bits |= (all[i] & 1u) << i;
  return bits;
}
static int __popc(uint32_t x) { return __builtin_popcount(x); }
static uint32_t __umulhi(uint32_t a, uint32_t b) { return static_cast<uint64_t>(a) * b >> 32; }
static float rsqrtf(float x) { return 1 / std::sqrt(x); }

#include "../source/common.cu"
#include PROGRAM

static std::vector<char> file(const std::string &name) {
  std::vector<char> bytes;
  FILE *f = fopen(name.c_str(), "rb");
  if (!f) return bytes;
  char part[4096];
  for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;) bytes.insert(bytes.end(), part, part + n);
  fclose(f);
  return bytes;
}
static void write(const std::string &name, const void *data, size_t n) {
  FILE *f = fopen(name.c_str(), "wb");
  if (!f || fwrite(data, 1, n, f) != n || fclose(f) != 0) exit(1);
}

static void run(unsigned blocks, unsigned threads, std::function<void()> kernel) {
  blockDim.x = threads, gridDim.x = blocks;
  for (unsigned b = 0; b < blocks; b++) {
    pthread_barrier_init(&block_barrier, nullptr, threads);
    for (unsigned w = 0; w < threads / 32; w++) pthread_barrier_init(&warp_barrier[w], nullptr, 32);
    std::vector<std::thread> all;
    for (unsigned t = 0; t < threads; t++) {
      all.emplace_back([=] {
        threadIdx.x = t, blockIdx.x = b;
        kernel();
      });
    }
    for (auto &t : all) t.join();
  }
}

template <class T> static T *as(std::vector<char> &bytes) { return reinterpret_cast<T *>(bytes.data()); }

// emulate ROWS THRESHOLD SITE SCALE
int main(int, char **argument) {
  int rows = atoi(argument[1]);
  auto offsets = file("offsets"), keys = file("keys"), seed = file("seed");
  drop d{as<int>(offsets), as<int>(keys), as<u64>(seed), static_cast<int>(keys.size() / 4), atoi(argument[3]), static_cast<u32>(atoi(argument[2])),
         static_cast<float>(atof(argument[4]))};
  unsigned blocks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
  size_t n = static_cast<size_t>(rows) * HIDDEN;
  auto y = file("y");
#ifdef NORM
  auto residual = file("residual"), weight = file("weight"), bias = file("bias"), g = file("g");
  std::vector<element> out(n), dy(n), dresidual(n);
  std::vector<float> stats(2 * rows), normal(n);
  run(blocks, BLOCK_THREADS,
      [&] { norm_forward(as<element>(y), as<element>(residual), as<element>(weight), as<element>(bias), out.data(), stats.data(), rows, 1e-5f, d); });
  run(blocks, BLOCK_THREADS, [&] {
    norm_backward(as<element>(g), as<element>(y), as<element>(residual), as<element>(weight), stats.data(), dy.data(), dresidual.data(), normal.data(), rows, d);
  });
  write("dy", dy.data(), n * sizeof(element));
  write("dresidual", dresidual.data(), n * sizeof(element));
  write("normal", normal.data(), n * sizeof(float));
#else
  std::vector<element> out(n);
  run(blocks, BLOCK_THREADS, [&] { dropout_rows(as<element>(y), out.data(), rows, d); });
#endif
  write("out", out.data(), n * sizeof(element));
}
