// One update of AdamW on flat buffers, its numbers on the device: nothing waits for it.
#include "api.h"
#include "kernels.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAGuard.h>

using at::Tensor;
using namespace metatt;

namespace {

constexpr unsigned block = 256;       // BLOCK of adamw.cu
constexpr int64_t most_blocks = 1024; // each goes over the buffer in strides

unsigned blocks_of(int64_t n) { return static_cast<unsigned>(std::clamp<int64_t>((n + block - 1) / block, 1, most_blocks)); }

CUfunction kernel_of(const char *name, const Tensor &gradient) {
  return kernel(adamw_source, name, {gradient.scalar_type() == at::kBFloat16 ? "BF16=1" : "BF16=0"});
}

void check_buffer(const Tensor &t, const Tensor &healthy, bool bf16, const char *name) {
  TORCH_CHECK(t.device() == healthy.device() && t.is_contiguous() && (t.scalar_type() == at::kFloat || (bf16 && t.scalar_type() == at::kBFloat16)), name,
              " is ", t.scalar_type(), t.sizes(), " on ", t.device(), ", not a contiguous buffer of fp32 on ", healthy.device());
}

// A range with its buffers, all as long, and its five numbers.
struct Span {
  const Tensor &values, &first, &second, &gradient, &numbers;
  explicit Span(void **t) : values(tensor(t[0])), first(tensor(t[1])), second(tensor(t[2])), gradient(tensor(t[3])), numbers(tensor(t[4])) {}
  void check(const Tensor &healthy) const {
    check_buffer(values, healthy, false, "values");
    check_buffer(first, healthy, false, "first moments");
    check_buffer(second, healthy, false, "second moments");
    check_buffer(gradient, healthy, true, "gradient");
    check_buffer(numbers, healthy, false, "numbers");
    TORCH_CHECK(first.numel() == values.numel() && second.numel() == values.numel() && gradient.numel() == values.numel() && numbers.numel() == 5,
                "buffers of ", values.numel(), ", ", first.numel(), ", ", second.numel(), " and ", gradient.numel(), " elements, ", numbers.numel(), " numbers");
  }
};

} // namespace

API char *metatt_adamw(void **gradients, int n, void *loss_, void *healthy_, double clip, double eps_, double largest_, void **spans, int count, void **out) {
  return guarded([&] {
    const Tensor &healthy = tensor(healthy_);
    TORCH_CHECK(healthy.is_cuda() && healthy.scalar_type() == at::kFloat && healthy.numel() == 1, "healthy is ", healthy.scalar_type(), healthy.sizes());
    c10::cuda::CUDAGuard guard(healthy.device());
    auto fp32 = healthy.options().dtype(at::kFloat).requires_grad(false);
    int64_t parts_count = 0;
    for (int i = 0; i < n; i++) {
      check_buffer(tensor(gradients[i]), healthy, true, "a gradient");
      parts_count += blocks_of(tensor(gradients[i]).numel());
    }
    for (int i = 0; i < count; i++) Span(spans + 5 * i).check(healthy);
    Tensor loss = loss_ ? tensor(loss_) : Tensor();
    if (loss.defined()) check_buffer(loss, healthy, false, "the loss");

    auto parts = at::empty({parts_count}, fp32), state = at::empty({4}, fp32), outcome = at::empty({2}, fp32);
    auto state_data = state.mutable_data_ptr<float>();
    auto parts_data = parts.mutable_data_ptr<float>();
    auto eps = static_cast<float>(eps_), limit = static_cast<float>(clip), largest = static_cast<float>(largest_);
    for (int i = 0; i < n; i++) {
      const Tensor &g = tensor(gradients[i]);
      auto data = g.const_data_ptr();
      auto length = g.numel();
      auto blocks = blocks_of(length);
      launch(kernel_of("squares", g), blocks, block, {&data, &length, &parts_data});
      parts_data += blocks;
    }
    parts_data = parts.mutable_data_ptr<float>();
    auto loss_data = loss.defined() ? loss.const_data_ptr<float>() : nullptr;
    auto healthy_data = healthy.mutable_data_ptr<float>();
    auto sums = static_cast<int>(parts_count);
    launch(kernel_of("begin", healthy), 1, block, {&parts_data, &sums, &loss_data, &healthy_data, &limit, &largest, &state_data});
    for (bool changes : {false, true}) {
      for (int i = 0; i < count; i++) {
        Span s(spans + 5 * i);
        auto length = s.values.numel();
        if (length == 0) continue;
        auto values = s.values.mutable_data_ptr<float>(), first = s.first.mutable_data_ptr<float>(), second = s.second.mutable_data_ptr<float>();
        auto gradient = s.gradient.mutable_data_ptr();
        auto numbers = s.numbers.const_data_ptr<float>();
        if (changes) {
          launch(kernel_of("update", s.gradient), blocks_of(length), block, {&values, &first, &second, &gradient, &numbers, &length, &eps, &largest, &state_data});
        } else {
          launch(kernel_of("bound", s.gradient), blocks_of(length), block, {&values, &first, &second, &gradient, &numbers, &length, &eps, &state_data});
        }
      }
    }
    auto outcome_data = outcome.mutable_data_ptr<float>();
    launch(kernel_of("finish", healthy), 1, 1, {&state_data, &largest, &healthy_data, &outcome_data});
    *out = handle(std::move(outcome));
  });
}
