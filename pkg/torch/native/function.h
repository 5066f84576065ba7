// What the autograd functions share.
#pragma once
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include "masks.h"
#include "parallel.h"

namespace native {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// A range of rows has about this many elements at least.
constexpr int64_t grain_elements = 16384;

inline int64_t row_grain(int64_t n) { return std::max<int64_t>(1, grain_elements / std::max<int64_t>(1, n)); }

// recorded: whether autograd will ask for a gradient, so that backward needs something.
template <typename... Tensors>
bool recorded(const Tensors &...tensors) {
  return at::GradMode::is_enabled() && (... || (tensors.defined() && tensors.requires_grad()));
}

// remember keeps a drop for backward: its tensors are kept as they are, so that
// autograd notices when they are overwritten.
inline void remember(AutogradContext *ctx, const Drop &drop, tensor_list saved) {
  saved.push_back(drop.offsets);
  saved.push_back(drop.keys);
  ctx->save_for_backward(std::move(saved));
  ctx->saved_data["seed"] = int64_t(drop.seed);
  ctx->saved_data["site"] = int64_t(drop.site);
  ctx->saved_data["threshold"] = int64_t(drop.threshold);
}

// recall takes it off the saved tensors, whose last two are the drop's.
inline Drop recall(AutogradContext *ctx, tensor_list &saved) {
  Drop drop{native_drop{}};
  saved = ctx->get_saved_variables();
  drop.keys = saved.back();
  saved.pop_back();
  drop.offsets = saved.back();
  saved.pop_back();
  drop.seed = uint64_t(ctx->saved_data["seed"].toInt());
  drop.site = uint32_t(ctx->saved_data["site"].toInt());
  drop.threshold = uint32_t(ctx->saved_data["threshold"].toInt());
  return drop;
}

} // namespace native
