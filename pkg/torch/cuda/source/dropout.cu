// Dropout of the elements of rows, forward of x and backward of its gradient alike.
extern "C" __global__ void __launch_bounds__(BLOCK_THREADS) dropout_rows(const element *x, element *out, int rows, drop d) {
  int row = blockIdx.x * (blockDim.x / ROW_THREADS) + threadIdx.x / ROW_THREADS;
  if (row >= rows) return;
  float v[ITEMS][VEC];
#pragma unroll
  for (int i = 0; i < ITEMS; i++) {
    int column = column_of(i);
    if (inside(column)) load(x + (long long)row * HIDDEN + column, v[i]);
  }
  row_drop r = row_of(d, row);
#pragma unroll
  for (int i = 0; i < ITEMS; i++) {
    int column = column_of(i);
    if (!inside(column)) continue;
    u32 mask = kept(r, column);
#pragma unroll
    for (int e = 0; e < VEC; e++) v[i][e] = mask >> e & 1u ? v[i][e] * d.scale : 0.0f;
    store(out + (long long)row * HIDDEN + column, v[i]);
  }
}
