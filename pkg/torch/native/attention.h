// Attention over packed sequences.
#pragma once
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "function.h"

namespace native {

// One call's tensors, checked, and the kernel's view of them.
struct AttentionCall {
  at::Tensor q, k, v, query_offsets, key_offsets;
  ::Attention a = {};
  int64_t floats = 0; // floats of scratch, for any of the sequences
  struct Task {
    int64_t sequence, head, end; // heads from head on, before end
  };
  std::vector<Task> tasks; // those of the sequences with most work first

  AttentionCall(const at::Tensor &q_, const at::Tensor &k_, const at::Tensor &v_, int64_t heads, const at::Tensor &query_offsets_,
                const at::Tensor &key_offsets_, const Drop &drop)
      : q(dense(q_)), k(dense(k_)), v(dense(v_)), query_offsets(query_offsets_), key_offsets(key_offsets_) {
    a.query_offsets = check_offsets("offsets of queries", query_offsets, q.size(0));
    a.key_offsets = check_offsets("offsets of keys", key_offsets, k.size(0));
    const int64_t sequences = key_offsets.numel() - 1;
    if (query_offsets.numel() - 1 != sequences) refuse("there are ", query_offsets.numel() - 1, " sequences of queries and ", sequences, " of keys");
    a.masks = drop.masks(a.query_offsets, sequences);
    a.heads = heads;
    a.width = q.size(1) / heads;
    a.bf16 = q.scalar_type() == at::kBFloat16;
    a.scale = float(1 / std::sqrt(double(a.width)));
    a.q = matrix(q);
    a.k = matrix(k);
    a.v = matrix(v);
    std::vector<double> work(sequences);
    std::vector<int64_t> order(sequences);
    for (int64_t i = 0; i < sequences; i++) {
      const int64_t queries = a.query_offsets[i + 1] - a.query_offsets[i], keys = a.key_offsets[i + 1] - a.key_offsets[i];
      if (queries > 0 && keys > 0) floats = std::max(floats, kernels->attention_scratch(queries, keys, a.width));
      work[i] = double(queries) * double(keys);
    }
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) { return work[i] > work[j]; });
    // Heads lie beside one another: a thread takes as many of a sequence as leaves eight tasks
    // and more for each.
    const double most = std::accumulate(work.begin(), work.end(), 0.0) / (8 * at::get_num_threads());
    for (int64_t i : order) {
      const int64_t parts = most > 0 ? int64_t(std::clamp<double>(std::ceil(work[i] / most), 1, double(heads))) : 1;
      for (int64_t part = 0; part < parts; part++) tasks.push_back({i, part * heads / parts, (part + 1) * heads / parts});
    }
  }

  // dense is t with its columns side by side.
  static at::Tensor dense(const at::Tensor &t) { return t.stride(1) == 1 || t.size(1) == 1 ? t : t.contiguous(); }
  static Matrix matrix(const at::Tensor &t) { return {const_cast<void *>(t.const_data_ptr()), t.stride(0)}; }

  void run(void (*kernel)(const ::Attention *, int64_t, int64_t, float *)) const {
    parallel_tasks(tasks.size(), [&](int64_t i) {
      for (int64_t head = tasks[i].head; head < tasks[i].end; head++) kernel(&a, tasks[i].sequence, head, scratch(floats));
    });
  }

  at::Tensor forward() {
    at::Tensor out = at::empty(q.sizes(), q.options());
    a.out = matrix(out);
    run(kernels->attention);
    return out;
  }

  void backward(const at::Tensor &grad, const at::Tensor &grad_q, const at::Tensor &grad_k, const at::Tensor &grad_v) {
    const at::Tensor g = dense(grad);
    a.grad = matrix(g);
    if (grad_q.defined()) a.grad_q = matrix(grad_q);
    if (grad_k.defined()) a.grad_k = matrix(grad_k);
    if (grad_v.defined()) a.grad_v = matrix(grad_v);
    run(kernels->attention_backward);
  }
};

struct AttentionFunction : torch::autograd::Function<AttentionFunction> {
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, int64_t heads,
                            const at::Tensor &query_offsets, const at::Tensor &key_offsets, const Drop &drop) {
    remember(ctx, drop, {q, k, v, query_offsets, key_offsets});
    ctx->saved_data["heads"] = heads;
    return AttentionCall(q, k, v, heads, query_offsets, key_offsets, drop).forward();
  }

  static tensor_list backward(AutogradContext *ctx, tensor_list grads) {
    tensor_list saved;
    const Drop drop = recall(ctx, saved);
    at::Tensor gradients[3];
    for (int i = 0; i < 3; i++)
      if (ctx->needs_input_grad(i)) gradients[i] = at::empty(saved[i].sizes(), saved[i].options());
    AttentionCall(saved[0], saved[1], saved[2], ctx->saved_data["heads"].toInt(), saved[3], saved[4], drop)
        .backward(grads[0], gradients[0], gradients[1], gradients[2]);
    return {gradients[0], gradients[1], gradients[2], at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

// third is q, k or v of a joined tensor.
inline at::Tensor third(const at::Tensor &qkv, int64_t i) { return qkv.narrow(1, i * (qkv.size(1) / 3), qkv.size(1) / 3); }

struct JoinedFunction : torch::autograd::Function<JoinedFunction> {
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &qkv, int64_t heads, const at::Tensor &offsets, const Drop &drop) {
    remember(ctx, drop, {qkv, offsets});
    ctx->saved_data["heads"] = heads;
    return AttentionCall(third(qkv, 0), third(qkv, 1), third(qkv, 2), heads, offsets, offsets, drop).forward();
  }

  static tensor_list backward(AutogradContext *ctx, tensor_list grads) {
    tensor_list saved;
    const Drop drop = recall(ctx, saved);
    const at::Tensor &qkv = saved[0], &offsets = saved[1];
    at::Tensor gradient = at::empty(qkv.sizes(), qkv.options());
    AttentionCall(third(qkv, 0), third(qkv, 1), third(qkv, 2), ctx->saved_data["heads"].toInt(), offsets, offsets, drop)
        .backward(grads[0], third(gradient, 0), third(gradient, 1), third(gradient, 2));
    return {gradient, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

inline void check_heads(int64_t hidden, int64_t heads) {
  if (heads < 1 || heads > 65535 || hidden < heads || hidden % heads != 0) refuse(heads, " heads do not divide ", hidden, " columns");
}

} // namespace native

extern "C" char *native_attention(void **out, void *q_handle, void *k_handle, void *v_handle, int64_t heads, void *query_handle,
                                  void *key_handle, native_drop d) {
  using namespace native;
  return entry([&] {
    const at::Tensor &q = tensor(q_handle), &k = tensor(k_handle), &v = tensor(v_handle);
    const at::Tensor query_offsets = optional(query_handle), key_offsets = optional(key_handle);
    check_values("q", q, 2, q.scalar_type());
    check_values("k", k, 2, q.scalar_type());
    check_values("v", v, 2, q.scalar_type());
    check_heads(q.size(1), heads);
    check_shape("k", k, {k.size(0), q.size(1)});
    check_shape("v", v, k.sizes());
    const Drop drop(d);
    give(out, recorded(q, k, v) ? AttentionFunction::apply(q, k, v, heads, query_offsets, key_offsets, drop)
                                : AttentionCall(q, k, v, heads, query_offsets, key_offsets, drop).forward());
  });
}

extern "C" char *native_joined_attention(void **out, void *handle, int64_t heads, native_drop d) {
  using namespace native;
  return entry([&] {
    const at::Tensor &qkv = tensor(handle);
    const at::Tensor offsets = optional(d.offsets);
    check_values("qkv", qkv, 2, qkv.scalar_type());
    if (qkv.size(1) % 3 != 0) refuse("qkv has ", qkv.size(1), " columns, which are not three parts");
    check_heads(qkv.size(1) / 3, heads);
    const Drop drop(d);
    give(out, recorded(qkv) ? JoinedFunction::apply(qkv, heads, offsets, drop)
                            : AttentionCall(third(qkv, 0), third(qkv, 1), third(qkv, 2), heads, offsets, offsets, drop).forward());
  });
}
