// AdamW on flat buffers, its numbers on the device. What is decided stands in state: a
// thread that reads it gets what the kernel before has written.
struct state {
  float norm;    // of all gradients
  float clip;    // factor of the gradients
  u32 sound;     // the update may be made, but for what largest says
  u32 largest;   // bits of the largest |θ| that it would come to: as integers they order as the numbers do, NaN above all
};

// The numbers of a range.
struct numbers {
  float weight1, weight2; // 1 - β
  float keep;             // 1 - lr λ
  float step;             // -lr/(1-β₁ᵗ)
  float correct;          // 1/√(1-β₂ᵗ)
};

#define BLOCK 256

// The sum over a block, in thread 0.
__device__ __forceinline__ double block_sum(double x) {
  __shared__ double parts[BLOCK / 32];
#pragma unroll
  for (int away = 16; away > 0; away /= 2) x += __shfl_xor_sync(ALL_LANES, x, away);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int w = 1; w < BLOCK / 32; w++) x += parts[w];
  }
  return x;
}

// A block's part of the sum of squares.
extern "C" __global__ void __launch_bounds__(BLOCK) squares(const element *g, long long n, float *parts) {
  float sum = 0;
  for (long long i = (long long)blockIdx.x * BLOCK + threadIdx.x; i < n; i += (long long)gridDim.x * BLOCK) {
    float x = widen(g[i]);
    sum += x * x;
  }
  double all = block_sum(sum);
  if (threadIdx.x == 0) parts[blockIdx.x] = (float)all;
}

// One block. limit 0: nothing is clipped; loss may be null.
extern "C" __global__ void __launch_bounds__(BLOCK) begin(const float *parts, int n, const float *loss, const float *healthy, float limit, float largest, state *s) {
  double sum = 0;
  for (int i = threadIdx.x; i < n; i += BLOCK) sum += parts[i];
  sum = block_sum(sum);
  if (threadIdx.x) return;
  float norm = (float)sqrt(sum);
  s->norm = norm;
  float clip = limit * (1.0f / (norm + 1e-6f));
  s->clip = limit > 0 && !(clip >= 1) ? clip : 1.0f; // NaN stays
  s->sound = *healthy >= 1 && norm <= largest && (!loss || fabsf(*loss) <= 3.402823466e38f);
  s->largest = 0;
}

__device__ __forceinline__ float lerp(float from, float to, float weight) {
  return weight < 0.5f ? from + weight * (to - from) : to - (to - from) * (1 - weight);
}

// The value of an element as it would be after the update with its clipped gradient, and
// its moments.
__device__ __forceinline__ float next(const numbers &k, float eps, float value, float g, float &m, float &v) {
  m = lerp(m, g, k.weight1);
  v = lerp(v, g * g, k.weight2);
  return value * k.keep + m / (sqrtf(v) * k.correct + eps) * k.step;
}

extern "C" __global__ void __launch_bounds__(BLOCK) bound(const float *values, const float *first, const float *second, const element *g, const numbers *k,
                                                         long long n, float eps, state *s) {
  u32 largest = 0;
  for (long long i = (long long)blockIdx.x * BLOCK + threadIdx.x; i < n; i += (long long)gridDim.x * BLOCK) {
    float m = first[i], v = second[i];
    u32 bits = __float_as_uint(fabsf(next(*k, eps, values[i], widen(g[i]) * s->clip, m, v)));
    largest = bits > largest ? bits : largest;
  }
#pragma unroll
  for (int away = 16; away > 0; away /= 2) {
    u32 other = __shfl_xor_sync(ALL_LANES, largest, away);
    largest = other > largest ? other : largest;
  }
  if (threadIdx.x % 32 == 0) atomicMax(&s->largest, largest);
}

__device__ __forceinline__ bool made(const state *s, float largest) { return s->sound && s->largest <= __float_as_uint(largest); }

// Gradients in fp32 are clipped in their place: they are what the update was made with.
extern "C" __global__ void __launch_bounds__(BLOCK) update(float *values, float *first, float *second, element *g, const numbers *k, long long n, float eps,
                                                          float largest, const state *s) {
  if (!made(s, largest)) return;
  for (long long i = (long long)blockIdx.x * BLOCK + threadIdx.x; i < n; i += (long long)gridDim.x * BLOCK) {
    float m = first[i], v = second[i];
    float clipped = widen(g[i]) * s->clip;
    values[i] = next(*k, eps, values[i], clipped, m, v);
#if !BF16
    g[i] = clipped;
#endif
    first[i] = m, second[i] = v;
  }
}

// outcome: the norm, and 1 where the update was made, else 0, as healthy is from then on.
extern "C" __global__ void finish(const state *s, float largest, float *healthy, float *outcome) {
  *healthy = made(s, largest) ? 1.0f : 0.0f;
  outcome[0] = s->norm, outcome[1] = *healthy;
}
