#define KERNELS_AVX512
#define KERNELS_AVX512BF16
#define KERNELS metatt_kernels_avx512bf16
#include "../kernel/kernels.h"
