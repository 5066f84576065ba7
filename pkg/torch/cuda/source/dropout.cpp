// Dropout whose masks are a function of seed, site, example, position and column.
#include "api.h"
#include "kernels.h"
#include "rows.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/csrc/autograd/custom_function.h>

using at::Tensor;
using namespace metatt;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

Tensor dropped(const Tensor &given, const Drop &d) {
  auto x = given.contiguous();
  c10::cuda::CUDAGuard guard(x.device());
  auto out = at::empty_like(x);
  auto rows = rows_of(x, {&out});
  if (rows.count == 0) return out;
  auto from = x.const_data_ptr();
  auto to = out.mutable_data_ptr();
  auto argument = d.argument();
  launch(kernel(dropout_source, "dropout_rows", rows.macros), rows.blocks, rows.threads, {&from, &to, &rows.count, &argument});
  return out;
}

struct DropoutAt : torch::autograd::Function<DropoutAt> {
  static Tensor forward(AutogradContext *context, const Tensor &x, const Tensor &offsets, const Tensor &keys, const Tensor &seed, int64_t threshold,
                        int64_t site) {
    context->save_for_backward({offsets, keys, seed});
    context->saved_data["threshold"] = threshold;
    context->saved_data["site"] = site;
    return dropped(x, of(offsets, keys, seed, threshold, site));
  }

  static variable_list backward(AutogradContext *context, variable_list gradients) {
    auto saved = context->get_saved_variables();
    auto d = of(saved[0], saved[1], saved[2], context->saved_data["threshold"].toInt(), context->saved_data["site"].toInt());
    return {dropped(gradients[0], d), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }

  static Drop of(const Tensor &offsets, const Tensor &keys, const Tensor &seed, int64_t threshold, int64_t site) {
    Drop d;
    d.offsets = offsets, d.keys = keys, d.seed = seed, d.threshold = threshold, d.site = site;
    return d;
  }
};

} // namespace

API char *metatt_dropout_at(void *x_, metatt_drop drop, void **out) {
  return guarded([&] {
    const Tensor &x = tensor(x_);
    Drop d(drop, x);
    *out = handle(d.threshold == 0 ? x : DropoutAt::apply(x, d.offsets, d.keys, d.seed, d.threshold, d.site));
  });
}
