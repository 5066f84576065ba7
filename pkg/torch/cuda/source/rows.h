// Passes over the rows of a tensor (rows, hidden): how they are shared by threads, and
// what dropout is a function of. See common.cu.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "functions.h"

namespace metatt {

// How rows are shared by threads.
struct Rows {
  int count, hidden;
  std::vector<std::string> macros;
  unsigned blocks, threads;
};

// Of tensors of one dtype, fp32 or bf16, whose rows lie end to end.
Rows rows_of(const at::Tensor &t, const std::vector<const at::Tensor *> &others);

// struct drop of common.cu, and the tensors that it points into.
struct Drop {
  at::Tensor offsets, keys, seed; // undefined without dropout
  int64_t threshold = 0, site = 0;

  Drop() = default;
  Drop(const metatt_drop &d, const at::Tensor &t); // checked: rows of t
  struct Argument {
    const int *offsets, *keys;
    const uint64_t *seed;
    int sequences, site;
    uint32_t threshold;
    float scale;
  };
  Argument argument() const;
};

} // namespace metatt
