// Attention within sequences that stand end to end, by libtorch's own kernels: flash in
// bf16 and fp16, memory-efficient in fp32. Queries have offsets of their own.
#include "api.h"

#include <algorithm>
#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/_efficient_attention_backward.h>
#include <ATen/ops/_efficient_attention_forward.h>
#include <ATen/ops/_flash_attention_backward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/native_dropout.h>
#include <ATen/ops/searchsorted.h>
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

// (n, longest): the row at each place of sequences that are padded to one length, row 0
// where there is none; and where there is one.
std::pair<Tensor, Tensor> places(const Tensor &offsets, int64_t longest) {
  auto rows = at::arange(longest, offsets.options()).unsqueeze(0) + offsets.slice(0, 0, -1).unsqueeze(1);
  auto inside = rows < offsets.slice(0, 1).unsqueeze(1);
  return {rows.mul_(inside), inside};
}

// Attention by plain operations over padded sequences, which libtorch derives. The packed
// kernel of fp32 cannot do dropout: its forward counts the places that draw by a longest
// sequence of 0 (pytorch/pytorch#115590), its backward by the true one, and so drops others.
Tensor padded(const Tensor &q, const Tensor &k, const Tensor &v, int64_t heads, const Layout &l) {
  auto n = l.queries.size(0) - 1, d = q.size(1) / heads;
  auto pad = [&](const Tensor &t, const Tensor &rows, int64_t longest) { // (n, heads, longest, d)
    return t.index_select(0, rows.flatten()).view({n, longest, heads, d}).transpose(1, 2);
  };
  auto [query_rows, query_inside] = places(l.queries, l.longest_query);
  auto [key_rows, key_inside] = places(l.keys, l.longest_key);
  auto scores = pad(q, query_rows, l.longest_query).mul(1 / std::sqrt(static_cast<double>(d))).matmul(pad(k, key_rows, l.longest_key).transpose(-2, -1));
  constexpr double never = -1e30; // not -∞: a sequence may have no keys
  auto weights = scores.masked_fill(key_inside.logical_not().view({n, 1, 1, l.longest_key}), never).softmax(-1);
  auto kept = std::get<0>(at::native_dropout(weights, l.p, /*train=*/true));
  auto context = kept.matmul(pad(v, key_rows, l.longest_key)).transpose(1, 2).reshape({n * l.longest_query, q.size(1)});
  auto row = at::arange(q.size(0), l.queries.options());
  auto sequence = at::searchsorted(l.queries.slice(0, 1).contiguous(), row, /*out_int32=*/false, /*right=*/true).clamp_max(n - 1);
  return context.index_select(0, sequence * l.longest_query + (row - l.queries.index_select(0, sequence)));
}

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
    Layout l{queries, keys, bound(longest_query, q), bound(longest_key, k), p};
    if (!flash(q) && p > 0) {
      *out = handle(padded(q, k, v, heads, l));
      return;
    }
    *out = handle(Attention::apply(q, k, v, queries, keys, heads, l.longest_query, l.longest_key, p));
  });
}

API char *metatt_joined_attention(void *qkv_, int64_t heads, void *offsets_, int64_t longest, double p, void **out) {
  return guarded([&] {
    const Tensor &given = tensor(qkv_), &offsets = tensor(offsets_);
    TORCH_CHECK(given.dim() == 2 && given.size(1) % 3 == 0, "qkv is ", given.sizes(), ", not (tokens, 3·hidden)");
    auto qkv = given.contiguous();
    check(qkv, offsets, heads, "qkv");
    check_width(qkv, qkv.size(1) / 3, heads);
    if (!flash(qkv) && p > 0) {
      auto parts = qkv.chunk(3, 1);
      *out = handle(padded(parts[0], parts[1], parts[2], heads, Layout{offsets, offsets, bound(longest, qkv), bound(longest, qkv), p}));
      return;
    }
    *out = handle(JoinedAttention::apply(qkv, offsets, heads, bound(longest, qkv), p));
  });
}
