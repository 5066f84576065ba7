// All kernels of one instruction set: a package defines which by KERNELS_…, and by
// KERNELS the name of the function that leads to them.
#pragma once
#include "attention.h"
#include "gelu.h"
#include "rows.h"

extern "C" const Kernels *KERNELS() {
  static const Kernels table = {row_scratch, attention_scratch, mask, dropout, norm, norm_backward, gelu_backward, attention, attention_backward};
  return &table;
}
