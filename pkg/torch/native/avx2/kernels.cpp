#define KERNELS_AVX2
#define KERNELS metatt_kernels_avx2
#include "../kernel/kernels.h"
