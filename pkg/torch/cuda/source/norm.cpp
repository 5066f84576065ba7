// LayerNorm(residual + dropout(y)) in one pass each way.
#include "api.h"
#include "kernels.h"
#include "rows.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/csrc/autograd/custom_function.h>

using at::Tensor;
using namespace metatt;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

void check(const Tensor &y, const Tensor &residual, const Tensor &weight, const Tensor &bias) {
  TORCH_CHECK(y.dim() == 2 && residual.sizes() == y.sizes() && weight.sizes() == y.sizes().slice(1) && bias.sizes() == weight.sizes(), "y ", y.sizes(),
              ", residual ", residual.sizes(), ", weight ", weight.sizes(), " and bias ", bias.sizes(), " do not fit");
  for (auto t : {&residual, &weight, &bias}) {
    TORCH_CHECK(t->scalar_type() == y.scalar_type() && t->device() == y.device(), "y is ", y.scalar_type(), " on ", y.device(), ", another operand ",
                t->scalar_type(), " on ", t->device());
  }
}

const void *data(const Tensor &t) { return t.defined() ? t.const_data_ptr() : nullptr; }
void *target(const Tensor &t) { return t.defined() ? t.mutable_data_ptr() : nullptr; }

struct DropoutAddNorm : torch::autograd::Function<DropoutAddNorm> {
  static Tensor forward(AutogradContext *context, const Tensor &y_, const Tensor &residual_, const Tensor &weight_, const Tensor &bias_,
                        const std::optional<Tensor> &offsets, const std::optional<Tensor> &keys, const std::optional<Tensor> &seed, int64_t threshold,
                        int64_t site, double eps) {
    auto y = y_.contiguous(), residual = residual_.contiguous(), weight = weight_.contiguous(), bias = bias_.contiguous();
    c10::cuda::CUDAGuard guard(y.device());
    auto out = at::empty_like(y);
    auto stats = at::empty({y.size(0), 2}, y.options().dtype(at::kFloat));
    auto rows = rows_of(y, {&residual, &weight, &bias, &out});
    auto d = of(offsets, keys, seed, threshold, site);
    if (rows.count > 0) {
      auto y_data = data(y), residual_data = data(residual), weight_data = data(weight), bias_data = data(bias);
      auto out_data = target(out), stats_data = target(stats);
      auto small = static_cast<float>(eps);
      auto drop = d.argument();
      launch(kernel(norm_source, "norm_forward", rows.macros), rows.blocks, rows.threads,
             {&y_data, &residual_data, &weight_data, &bias_data, &out_data, &stats_data, &rows.count, &small, &drop});
    }
    context->save_for_backward({y, residual, weight, stats, d.offsets, d.keys, d.seed});
    context->saved_data["threshold"] = threshold;
    context->saved_data["site"] = site;
    return out;
  }

  static variable_list backward(AutogradContext *context, variable_list gradients) {
    auto saved = context->get_saved_variables();
    auto &y = saved[0], &residual = saved[1], &weight = saved[2], &stats = saved[3];
    auto d = of(saved[4], saved[5], saved[6], context->saved_data["threshold"].toInt(), context->saved_data["site"].toInt());
    c10::cuda::CUDAGuard guard(y.device());
    auto g = gradients[0].contiguous();
    bool wants_y = context->needs_input_grad(0), wants_residual = context->needs_input_grad(1), wants_weight = context->needs_input_grad(2),
         wants_bias = context->needs_input_grad(3);
    bool same = d.threshold == 0; // then the gradient of y is that of residual
    Tensor dy, dresidual, normal, dweight, dbias;
    if (wants_residual || (wants_y && same)) dresidual = at::empty_like(y);
    if (wants_y && !same) dy = at::empty_like(y);
    if (wants_weight) normal = at::empty(y.sizes(), y.options().dtype(at::kFloat));
    if (y.size(0) > 0 && (dy.defined() || dresidual.defined() || normal.defined())) {
      std::vector<const Tensor *> others = {&y, &residual, &weight};
      for (auto t : {&dy, &dresidual}) {
        if (t->defined()) others.push_back(t);
      }
      auto rows = rows_of(g, others);
      auto g_data = data(g), y_data = data(y), residual_data = data(residual), weight_data = data(weight), stats_data = data(stats);
      auto dy_data = target(dy), dresidual_data = target(dresidual), normal_data = target(normal);
      auto drop = d.argument();
      launch(kernel(norm_source, "norm_backward", rows.macros), rows.blocks, rows.threads,
             {&g_data, &y_data, &residual_data, &weight_data, &stats_data, &dy_data, &dresidual_data, &normal_data, &rows.count, &drop});
    }
    if (same && wants_y) dy = dresidual;
    if (!wants_residual) dresidual = Tensor();
    if (wants_weight || wants_bias) { // rarely: libtorch's own operations do
      auto wide = g.to(at::kFloat);
      if (wants_weight) dweight = normal.mul_(wide).sum(0).to(y.scalar_type());
      if (wants_bias) dbias = wide.sum(0).to(y.scalar_type());
    }
    return {dy, dresidual, dweight, dbias, Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }

  static Drop of(const std::optional<Tensor> &offsets, const std::optional<Tensor> &keys, const std::optional<Tensor> &seed, int64_t threshold,
                 int64_t site) {
    Drop d;
    if (threshold == 0) return d;
    d.offsets = *offsets, d.keys = *keys, d.seed = *seed, d.threshold = threshold, d.site = site;
    return d;
  }
};

} // namespace

API char *metatt_dropout_add_norm(void *y_, void *residual_, void *weight_, void *bias_, double eps, metatt_drop drop, void **out) {
  return guarded([&] {
    const Tensor &y = tensor(y_), &residual = tensor(residual_), &weight = tensor(weight_), &bias = tensor(bias_);
    check(y, residual, weight, bias);
    Drop d(drop, y);
    auto given = [&](const Tensor &t) { return d.threshold ? std::optional<Tensor>(t) : std::nullopt; };
    *out = handle(DropoutAddNorm::apply(y, residual, weight, bias, given(d.offsets), given(d.keys), given(d.seed), d.threshold, d.site, eps));
  });
}
