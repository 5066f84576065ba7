// Where sequences stand and what their masks are a function of, checked.
#pragma once
#include <cmath>

#include "api.h"
#include "entry.h"

namespace native {

// check_ints refuses what is no contiguous vector of that type on the CPU.
inline void check_ints(const char *name, const at::Tensor &t, at::ScalarType type) {
  if (!t.defined()) refuse(name, " are missing");
  if (!t.device().is_cpu()) refuse(name, " are on ", t.device(), ", not on the CPU");
  if (t.scalar_type() != type) refuse(name, " are ", t.scalar_type(), ", not ", type);
  if (t.dim() != 1 || !t.is_contiguous()) refuse(name, " have shape ", t.sizes(), " and strides ", t.strides(), ", not one dimension without gaps");
}

// check_offsets refuses offsets that do not rise from 0 to rows: kernels trust them.
inline const int32_t *check_offsets(const char *name, const at::Tensor &t, int64_t rows) {
  check_ints(name, t, at::kInt);
  const int64_t n = t.numel() - 1;
  if (n < 0) refuse(name, " are empty: they hold one more than there are sequences");
  const int32_t *offsets = t.const_data_ptr<int32_t>();
  if (offsets[0] != 0) refuse(name, " begin with ", offsets[0], ", not with 0");
  for (int64_t i = 0; i < n; i++)
    if (offsets[i + 1] < offsets[i]) refuse(name, " fall from ", offsets[i], " to ", offsets[i + 1], " at sequence ", i);
  if (offsets[n] != rows) refuse(name, " end at ", offsets[n], ", there are ", rows, " rows");
  return offsets;
}

// Drop is a native_drop that outlives the call, its seed read.
struct Drop {
  at::Tensor offsets, keys;
  uint64_t seed = 0;
  uint32_t site = 0;
  uint32_t threshold = 0; // of 2^16; 0: no dropout

  explicit Drop(const native_drop &d) : site(uint32_t(d.site)) {
    if (!(d.p >= 0 && d.p < 1)) refuse("probability ", d.p, " is not in [0, 1)");
    const long decision = std::lround(d.p * 65536);
    if (decision > 65535) refuse("probability ", d.p, " drops everything: it is above 1 - 2^-17");
    threshold = uint32_t(decision);
    if (threshold == 0) return;
    offsets = optional(d.offsets);
    keys = optional(d.keys);
    const at::Tensor s = optional(d.seed);
    check_ints("keys", keys, at::kInt);
    check_ints("the seed's elements", s, at::kLong);
    if (s.numel() != 1) refuse("the seed has ", s.numel(), " elements, not one");
    seed = uint64_t(*s.const_data_ptr<int64_t>());
  }

  // masks of rows that lie in sequences as offsets say.
  Masks masks(const int32_t *places, int64_t sequences) const {
    Masks m = {};
    m.scale = 1;
    if (threshold == 0) return m;
    if (keys.numel() != sequences) refuse("there are ", keys.numel(), " keys for ", sequences, " sequences");
    for (int64_t i = 0; i < sequences; i++)
      if (places[i + 1] - places[i] > 65536) refuse("sequence ", i, " has ", places[i + 1] - places[i], " rows: a mask numbers 65536");
    m.offsets = places;
    m.keys = keys.const_data_ptr<int32_t>();
    m.sequences = sequences;
    m.seed = seed;
    m.site = site;
    m.threshold = threshold;
    m.scale = float(65536.0 / (65536 - threshold));
    return m;
  }

  // masks of rows that lie in sequences as the drop's own offsets say.
  Masks masks(int64_t rows) const {
    if (threshold == 0) return masks(nullptr, 0);
    return masks(check_offsets("offsets", offsets, rows), offsets.numel() - 1);
  }
};

} // namespace native
