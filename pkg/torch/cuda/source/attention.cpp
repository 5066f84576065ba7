// Attention within sequences that stand end to end, by libtorch's own kernels: flash in
// bf16 and fp16, memory-efficient in fp32. Queries have offsets of their own.
#include "api.h"

#include <algorithm>
#include <cmath>

#include <ATen/ops/_efficient_attention_backward.h>
#include <ATen/ops/_efficient_attention_forward.h>
#include <ATen/ops/_flash_attention_backward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/stack.h>
#include <torch/csrc/autograd/custom_function.h>

using at::Tensor;
using namespace metatt;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

// Where the sequences of queries and keys stand, and the probability of dropout.
struct Layout {
  Tensor queries, keys; // offsets
  int64_t longest_query, longest_key;
  double p;
};

// What the kernels' backward needs beside q, k, v and the result.
struct Saved {
  Tensor sums;       // log of the softmax's denominators
  Tensor seed, rest; // of dropout
};

bool flash(const Tensor &q) { return q.scalar_type() != at::kFloat; }

// (tokens, hidden) as (tokens, heads, d), whatever the row stride.
Tensor by_head(const Tensor &t, int64_t heads) { return t.unflatten(1, {heads, t.size(1) / heads}); }

// Flash attention decides by 8 bits, in 256ths: it is told the probability that it will
// meet, so that what is kept is scaled by the right factor.
double met(double p) { return 1 - std::round((1 - p) * 256) / 256; }

// q, k and v are (tokens, heads, d), as is the result.
std::pair<Tensor, Saved> attend(const Tensor &q, const Tensor &k, const Tensor &v, const Layout &l) {
  if (flash(q)) {
    auto [out, sums, seed, rest, mask] = at::_flash_attention_forward(q, k, v, l.queries, l.keys, l.longest_query, l.longest_key, met(l.p),
                                                                      /*is_causal=*/false, /*return_debug_mask=*/false);
    return {out, Saved{sums, seed, rest}};
  }
  auto [out, sums, seed, rest, longest_query, longest_key] =
      at::_efficient_attention_forward(q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), /*bias=*/std::nullopt, l.queries, l.keys, l.longest_query,
                                       l.longest_key, l.p, /*custom_mask_type=*/0, /*compute_log_sumexp=*/true);
  return {out.squeeze(0), Saved{sums, seed, rest}};
}

// The gradients of q, k and v, (tokens, heads, d). Joined: those of the efficient kernel
// lie side by side in one tensor (tokens, 3, heads, d).
std::tuple<Tensor, Tensor, Tensor> gradients_of(const Tensor &g, const Tensor &q, const Tensor &k, const Tensor &v, const Tensor &out, const Saved &s,
                                            const Layout &l, bool joined) {
  if (flash(q)) {
    return at::_flash_attention_backward(g, q, k, v, out, s.sums, l.queries, l.keys, l.longest_query, l.longest_key, met(l.p), /*is_causal=*/false, s.seed,
                                         s.rest);
  }
  auto [dq, dk, dv, bias] = at::_efficient_attention_backward(
      g.unsqueeze(0), q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), /*bias=*/std::nullopt, out.unsqueeze(0), l.queries, l.keys, l.longest_query,
      l.longest_key, s.sums, l.p, s.seed, s.rest, /*custom_mask_type=*/0, /*bias_requires_grad=*/false, /*scale=*/std::nullopt,
      /*num_splits_key=*/std::nullopt, /*window_size=*/std::nullopt, /*shared_storage_dqdkdv=*/joined);
  return {dq.squeeze(0), dk.squeeze(0), dv.squeeze(0)};
}

void save(AutogradContext *context, int64_t heads, const Layout &l) {
  context->saved_data["heads"] = heads;
  context->saved_data["longest_query"] = l.longest_query;
  context->saved_data["longest_key"] = l.longest_key;
  context->saved_data["p"] = l.p;
}

Layout layout_of(AutogradContext *context, const Tensor &queries, const Tensor &keys) {
  auto &data = context->saved_data;
  return Layout{queries, keys, data["longest_query"].toInt(), data["longest_key"].toInt(), data["p"].toDouble()};
}

struct Attention : torch::autograd::Function<Attention> {
  static Tensor forward(AutogradContext *context, const Tensor &q, const Tensor &k, const Tensor &v, const Tensor &queries, const Tensor &keys,
                        int64_t heads, int64_t longest_query, int64_t longest_key, double p) {
    Layout l{queries, keys, longest_query, longest_key, p};
    auto [heads_out, saved] = attend(by_head(q, heads), by_head(k, heads), by_head(v, heads), l);
    auto out = heads_out.reshape({q.size(0), q.size(1)});
    save(context, heads, l);
    context->save_for_backward({q, k, v, out, saved.sums, saved.seed, saved.rest, queries, keys});
    return out;
  }

  static variable_list backward(AutogradContext *context, variable_list gradients) {
    auto saved = context->get_saved_variables();
    auto heads = context->saved_data["heads"].toInt();
    auto &q = saved[0], &k = saved[1], &v = saved[2];
    auto [dq, dk, dv] = gradients_of(by_head(gradients[0].contiguous(), heads), by_head(q, heads), by_head(k, heads), by_head(v, heads), by_head(saved[3], heads),
                                   Saved{saved[4], saved[5], saved[6]}, layout_of(context, saved[7], saved[8]), /*joined=*/false);
    return {dq.reshape(q.sizes()), dk.reshape(k.sizes()), dv.reshape(v.sizes()), Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

struct JoinedAttention : torch::autograd::Function<JoinedAttention> {
  static Tensor forward(AutogradContext *context, const Tensor &qkv, const Tensor &offsets, int64_t heads, int64_t longest, double p) {
    Layout l{offsets, offsets, longest, longest, p};
    auto parts = qkv.view({qkv.size(0), 3, heads, -1}).unbind(1);
    auto [heads_out, saved] = attend(parts[0], parts[1], parts[2], l);
    auto out = heads_out.reshape({qkv.size(0), qkv.size(1) / 3});
    save(context, heads, l);
    context->save_for_backward({qkv, out, saved.sums, saved.seed, saved.rest, offsets});
    return out;
  }

  static variable_list backward(AutogradContext *context, variable_list gradients) {
    auto saved = context->get_saved_variables();
    auto heads = context->saved_data["heads"].toInt();
    auto &qkv = saved[0];
    auto hidden = qkv.size(1) / 3;
    auto parts = qkv.view({qkv.size(0), 3, heads, -1}).unbind(1);
    bool joined = !flash(qkv);
    auto [dq, dk, dv] = gradients_of(by_head(gradients[0].contiguous(), heads), parts[0], parts[1], parts[2], by_head(saved[1], heads),
                                   Saved{saved[2], saved[3], saved[4]}, layout_of(context, saved[5], saved[5]), joined);
    auto together = joined ? dq.as_strided(qkv.sizes(), {3 * hidden, 1}) : at::stack(at::TensorList({dq, dk, dv}), 1).view(qkv.sizes());
    return {together, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

// The kernels read 16 bytes at a time.
constexpr int64_t alignment = 16;

void check(const Tensor &t, const Tensor &offsets, int64_t heads, const char *name) {
  TORCH_CHECK(t.is_cuda() && t.dim() == 2, name, " is ", t.sizes(), " on ", t.device(), ", not (tokens, hidden) on a CUDA device");
  TORCH_CHECK(t.scalar_type() == at::kBFloat16 || t.scalar_type() == at::kHalf || t.scalar_type() == at::kFloat, "attention of ", t.scalar_type(),
              " has no packed kernel");
  auto size = static_cast<int64_t>(t.element_size());
  TORCH_CHECK(t.stride(1) == 1 && t.stride(0) * size % alignment == 0 && t.storage_offset() * size % alignment == 0,
              name, "'s rows have strides ", t.strides(), " and begin at element ", t.storage_offset(), ", not at ", alignment, " bytes each");
  TORCH_CHECK(offsets.is_cuda() && offsets.dim() == 1 && offsets.scalar_type() == at::kInt && offsets.is_contiguous() && offsets.numel() >= 2, "offsets are ",
              offsets.scalar_type(), offsets.sizes(), " on ", offsets.device());
}

void check_width(const Tensor &t, int64_t width, int64_t heads) {
  auto d = heads > 0 ? width / heads : 0;
  TORCH_CHECK(heads > 0 && width == heads * d && d % 8 == 0 && d <= 256, heads, " heads of ", width, ": a head has to be of a multiple of 8, 256 at most");
}

// Kernels refuse a bound that is beyond the tokens.
int64_t bound(int64_t longest, const Tensor &t) { return std::max<int64_t>(1, std::min(longest, t.size(0))); }

} // namespace

API char *metatt_attention(void *q_, void *k_, void *v_, int64_t heads, void *queries_, void *keys_, int64_t longest_query, int64_t longest_key, double p,
                           void **out) {
  return guarded([&] {
    const Tensor &q = tensor(q_), &k = tensor(k_), &v = tensor(v_), &queries = tensor(queries_), &keys = tensor(keys_);
    check(q, queries, heads, "q");
    check(k, keys, heads, "k");
    check(v, keys, heads, "v");
    check_width(q, q.size(1), heads);
    TORCH_CHECK(q.size(1) == k.size(1) && k.sizes() == v.sizes() && q.scalar_type() == k.scalar_type() && k.scalar_type() == v.scalar_type(),
                "q ", q.sizes(), ", k ", k.sizes(), " and v ", v.sizes(), " do not fit");
    TORCH_CHECK(queries.numel() == keys.numel(), queries.numel() - 1, " sequences of queries, ", keys.numel() - 1, " of keys");
    *out = handle(Attention::apply(q, k, v, queries, keys, heads, bound(longest_query, q), bound(longest_key, k), p));
  });
}

API char *metatt_joined_attention(void *qkv_, int64_t heads, void *offsets_, int64_t longest, double p, void **out) {
  return guarded([&] {
    const Tensor &given = tensor(qkv_), &offsets = tensor(offsets_);
    TORCH_CHECK(given.dim() == 2 && given.size(1) % 3 == 0, "qkv is ", given.sizes(), ", not (tokens, 3·hidden)");
    auto qkv = given.contiguous();
    check(qkv, offsets, heads, "qkv");
    check_width(qkv, qkv.size(1) / 3, heads);
    *out = handle(JoinedAttention::apply(qkv, offsets, heads, bound(longest, qkv), p));
  });
}
