// Dropout of rows, and the mask by itself.
#pragma once
#include "function.h"

namespace native {

inline at::Tensor drop_rows(const at::Tensor &y, const Drop &drop) {
  at::Tensor out = at::empty_like(y, at::MemoryFormat::Contiguous);
  Dropout a = {};
  a.n = y.size(1);
  a.masks = drop.masks(y.size(0));
  a.bf16 = y.scalar_type() == at::kBFloat16;
  const at::Tensor in = y.contiguous();
  a.in = in.const_data_ptr();
  a.out = out.mutable_data_ptr();
  parallel(y.size(0), row_grain(a.n), [&](int64_t begin, int64_t end) {
    kernels->dropout(&a, begin, end, scratch(kernels->row_scratch(a.n)));
  });
  return out;
}

struct DropoutFunction : torch::autograd::Function<DropoutFunction> {
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &y, const Drop &drop) {
    remember(ctx, drop, {});
    return drop_rows(y, drop);
  }
  static tensor_list backward(AutogradContext *ctx, tensor_list grads) {
    tensor_list saved;
    const Drop drop = recall(ctx, saved);
    return {drop_rows(grads[0], drop), at::Tensor()};
  }
};

} // namespace native

extern "C" char *native_dropout(void **out, void *handle, native_drop d) {
  using namespace native;
  return entry([&] {
    const at::Tensor &y = tensor(handle);
    check_values("y", y, 2, y.scalar_type());
    const Drop drop(d);
    give(out, recorded(y) ? DropoutFunction::apply(y, drop) : drop_rows(y, drop));
  });
}

extern "C" char *native_mask(void **out, int64_t rows, int64_t columns, int64_t head, native_drop d) {
  using namespace native;
  return entry([&] {
    const Drop drop(d);
    if (rows < 0 || columns < 0 || head < 0 || head > 65535) refuse("no mask of ", rows, " x ", columns, " for head ", head);
    const Masks masks = drop.masks(rows);
    at::Tensor mask = at::empty({rows, columns}, at::kByte);
    parallel(rows, row_grain(columns), [&](int64_t begin, int64_t end) {
      kernels->mask(&masks, head, columns, begin, end, mask.mutable_data_ptr<uint8_t>(), scratch(kernels->row_scratch(columns)));
    });
    give(out, mask);
  });
}
