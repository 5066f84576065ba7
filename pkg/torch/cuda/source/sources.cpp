#include "kernels.h"

namespace metatt {

const char *const norm_source =
#include "common.cu.inc"
#include "norm.cu.inc"
    ;

const char *const dropout_source =
#include "common.cu.inc"
#include "dropout.cu.inc"
    ;

} // namespace metatt
