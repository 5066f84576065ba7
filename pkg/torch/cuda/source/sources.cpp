#include "kernels.h"

namespace metatt {

const char *const norm_source =
#include "element.cu.inc"
#include "rows.cu.inc"
#include "norm.cu.inc"
    ;

const char *const dropout_source =
#include "element.cu.inc"
#include "rows.cu.inc"
#include "dropout.cu.inc"
    ;

const char *const adamw_source =
#include "element.cu.inc"
#include "adamw.cu.inc"
    ;

} // namespace metatt
