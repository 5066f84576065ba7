// LayerNorm(residual + dropout(y)) and its gradients, a pass over the rows each. Sums are
// in fp32; z = residual + dropout(y) is made again in backward, and so is the mask.
//
//	μ = mean(z), σ = 1/√(mean((z-μ)²) + ε), ẑ = (z-μ)σ, out = ẑ weight + bias
//	∂z = σ (g' - mean(g') - ẑ mean(g' ẑ)) with g' = g weight; ∂residual = ∂z, ∂y = dropout(∂z)

// The sum over the threads of a row, in all of them.
__device__ __forceinline__ float row_sum(float x) {
#pragma unroll
  for (int away = 16; away > 0; away /= 2) x += __shfl_xor_sync(ALL_LANES, x, away);
#if WARPS > 1
  __shared__ float parts[WARPS];
  __syncthreads(); // the last sum has been read
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  x = 0;
#pragma unroll
  for (int w = 0; w < WARPS; w++) x += parts[w];
#endif
  return x;
}

// z of this thread's elements, and which of them are kept: bit VEC·i + e.
__device__ __forceinline__ u32 sum_of(const element *y, const element *residual, const drop &d, int row, float z[ITEMS][VEC]) {
  float r[ITEMS][VEC];
#pragma unroll
  for (int i = 0; i < ITEMS; i++) {
    int column = column_of(i);
#pragma unroll
    for (int e = 0; e < VEC; e++) z[i][e] = r[i][e] = 0;
    if (inside(column)) {
      load(y + (long long)row * HIDDEN + column, z[i]);
      load(residual + (long long)row * HIDDEN + column, r[i]);
    }
  }
  u32 mask = ~0u;
  if (d.threshold) {
    row_drop rd = row_of(d, row);
    mask = 0;
#pragma unroll
    for (int i = 0; i < ITEMS; i++) mask |= kept(rd, column_of(i)) << (VEC * i);
  }
#pragma unroll
  for (int i = 0; i < ITEMS; i++) {
#pragma unroll
    for (int e = 0; e < VEC; e++) z[i][e] = r[i][e] + (mask >> (VEC * i + e) & 1u ? z[i][e] * d.scale : 0.0f);
  }
  return mask;
}

extern "C" __global__ void __launch_bounds__(BLOCK_THREADS) norm_forward(const element *y, const element *residual, const element *weight, const element *bias, element *out,
                                        float *stats /* (rows, 2): μ and σ */, int rows, float eps, drop d) {
  int row = blockIdx.x * (blockDim.x / ROW_THREADS) + threadIdx.x / ROW_THREADS;
  if (row >= rows) return; // a whole warp; several share a block of one row
  float z[ITEMS][VEC];
  sum_of(y, residual, d, row, z);

  float sum = 0;
#pragma unroll
  for (int i = 0; i < ITEMS; i++) {
#pragma unroll
    for (int e = 0; e < VEC; e++) sum += z[i][e]; // 0 outside
  }
  float mean = row_sum(sum) * (1.0f / HIDDEN);
  sum = 0;
#pragma unroll
  for (int i = 0; i < ITEMS; i++) {
    if (!inside(column_of(i))) continue;
#pragma unroll
    for (int e = 0; e < VEC; e++) sum += (z[i][e] - mean) * (z[i][e] - mean);
  }
  float inverse = rsqrtf(row_sum(sum) * (1.0f / HIDDEN) + eps);

#pragma unroll
  for (int i = 0; i < ITEMS; i++) {
    int column = column_of(i);
    if (!inside(column)) continue;
    float w[VEC], b[VEC];
    load(weight + column, w);
    load(bias + column, b);
#pragma unroll
    for (int e = 0; e < VEC; e++) z[i][e] = (z[i][e] - mean) * inverse * w[e] + b[e];
    store(out + (long long)row * HIDDEN + column, z[i]);
  }
  if (threadIdx.x % ROW_THREADS == 0) stats[2 * row] = mean, stats[2 * row + 1] = inverse;
}

// dy, dresidual and normal (ẑ, fp32) may be null: they are not asked for. Without
// dropout dy is dresidual.
extern "C" __global__ void __launch_bounds__(BLOCK_THREADS) norm_backward(const element *g, const element *y, const element *residual, const element *weight, const float *stats, element *dy,
                                         element *dresidual, float *normal, int rows, drop d) {
  int row = blockIdx.x * (blockDim.x / ROW_THREADS) + threadIdx.x / ROW_THREADS;
  if (row >= rows) return;
  float mean = stats[2 * row], inverse = stats[2 * row + 1];
  float z[ITEMS][VEC], gw[ITEMS][VEC];
#pragma unroll
  for (int i = 0; i < ITEMS; i++) {
    int column = column_of(i);
    float w[VEC];
#pragma unroll
    for (int e = 0; e < VEC; e++) gw[i][e] = 0, w[e] = 0;
    if (inside(column)) {
      load(g + (long long)row * HIDDEN + column, gw[i]);
      load(weight + column, w);
    }
#pragma unroll
    for (int e = 0; e < VEC; e++) gw[i][e] *= w[e];
  }
  u32 mask = sum_of(y, residual, d, row, z);

  float sum = 0, product = 0;
#pragma unroll
  for (int i = 0; i < ITEMS; i++) {
#pragma unroll
    for (int e = 0; e < VEC; e++) {
      z[i][e] = (z[i][e] - mean) * inverse;
      sum += gw[i][e], product += gw[i][e] * z[i][e]; // gw is 0 outside
    }
  }
  sum = row_sum(sum) * (1.0f / HIDDEN);
  product = row_sum(product) * (1.0f / HIDDEN);

#pragma unroll
  for (int i = 0; i < ITEMS; i++) {
    int column = column_of(i);
    if (!inside(column)) continue;
    long long at = (long long)row * HIDDEN + column;
    if (normal) {
#pragma unroll
      for (int e = 0; e < VEC; e++) normal[at + e] = z[i][e];
    }
    float dz[VEC];
#pragma unroll
    for (int e = 0; e < VEC; e++) dz[e] = inverse * (gw[i][e] - sum - z[i][e] * product);
    if (dresidual) store(dresidual + at, dz);
    if (!dy) continue;
#pragma unroll
    for (int e = 0; e < VEC; e++) dz[e] = mask >> (VEC * i + e) & 1u ? dz[e] * d.scale : 0.0f;
    store(dy + at, dz);
  }
}
