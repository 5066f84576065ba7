#include "rows.h"
#include "api.h"

#include <limits>

namespace metatt {

namespace {

// A thread's elements of a row, at most: the bits of a mask.
constexpr int per_thread = 32;
constexpr int largest_block = 1024;
constexpr size_t vector_bytes = 16;

bool aligned(const at::Tensor &t) { return reinterpret_cast<uintptr_t>(t.const_data_ptr()) % vector_bytes == 0; }

std::string macro(const char *name, int64_t value) { return std::string(name) + "=" + std::to_string(value); }

} // namespace

Rows rows_of(const at::Tensor &t, const std::vector<const at::Tensor *> &others) {
  TORCH_CHECK(t.is_cuda() && t.dim() == 2, t.sizes(), " on ", t.device(), " is not (rows, hidden) on a CUDA device");
  TORCH_CHECK(t.scalar_type() == at::kFloat || t.scalar_type() == at::kBFloat16, t.scalar_type(), " is neither fp32 nor bf16");
  TORCH_CHECK(t.size(0) <= std::numeric_limits<int>::max() && t.size(1) >= 1 && t.size(1) <= per_thread * largest_block, t.sizes(), ": rows have at most ",
              per_thread * largest_block, " elements");
  bool wide = t.size(1) * t.element_size() % vector_bytes == 0 && aligned(t);
  for (auto other : others) wide = wide && aligned(*other);
  int vec = wide ? static_cast<int>(vector_bytes / t.element_size()) : 1;
  int warps = 1;
  while (warps * 32 * per_thread < t.size(1)) warps *= 2;
  Rows r;
  r.count = static_cast<int>(t.size(0)), r.hidden = static_cast<int>(t.size(1));
  r.macros = {macro("BF16", t.scalar_type() == at::kBFloat16), macro("HIDDEN", r.hidden), macro("VEC", vec), macro("WARPS", warps)};
  int together = warps == 1 ? 4 : 1; // BLOCK_ROWS
  r.blocks = static_cast<unsigned>((r.count + together - 1) / together);
  r.threads = static_cast<unsigned>(32 * warps * together);
  return r;
}

Drop::Drop(const metatt_drop &d, const at::Tensor &t) : threshold(d.threshold), site(d.site) {
  if (threshold == 0) return;
  TORCH_CHECK(d.offsets && d.keys && d.seed, "dropout is a function of offsets, keys and seed: one is missing");
  offsets = tensor(d.offsets), keys = tensor(d.keys), seed = tensor(d.seed);
  auto fits = [&](const at::Tensor &x, at::ScalarType type, int64_t n) {
    return x.device() == t.device() && x.scalar_type() == type && x.numel() == n && x.is_contiguous();
  };
  TORCH_CHECK(fits(offsets, at::kInt, keys.numel() + 1) && fits(keys, at::kInt, keys.numel()) && keys.numel() > 0 && fits(seed, at::kLong, 1), "offsets ",
              offsets.scalar_type(), offsets.sizes(), ", keys ", keys.scalar_type(), keys.sizes(), " and seed ", seed.scalar_type(), seed.sizes(),
              " have to be Int32 (n+1), Int32 (n) and Int64 (1) on ", t.device());
}

Drop::Argument Drop::argument() const {
  Argument a{};
  a.scale = 1;
  if (threshold == 0) return a;
  constexpr double decisions = 65536;
  a.offsets = offsets.const_data_ptr<int>();
  a.keys = keys.const_data_ptr<int>();
  a.seed = reinterpret_cast<const uint64_t *>(seed.const_data_ptr<int64_t>());
  a.sequences = static_cast<int>(keys.numel());
  a.site = static_cast<int>(site);
  a.threshold = static_cast<uint32_t>(threshold);
  a.scale = static_cast<float>(1 / (1 - threshold / decisions));
  return a;
}

} // namespace metatt
