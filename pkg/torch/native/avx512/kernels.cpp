#define KERNELS_AVX512
#define KERNELS metatt_kernels_avx512
#include "../kernel/kernels.h"
