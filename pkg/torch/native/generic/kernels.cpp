#define KERNELS_GENERIC
#define KERNELS metatt_kernels_generic
#include "../kernel/kernels.h"
