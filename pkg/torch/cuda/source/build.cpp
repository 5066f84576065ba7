#include "api.h"

#include <torch/headeronly/version.h>

API const char *metatt_build(void) { return METATT_BUILD; }

API const char *metatt_torch(void) {
#ifdef METATT_TORCH
  return METATT_TORCH;
#else
  return TORCH_VERSION;
#endif
}
