// Work spread over libtorch's own threads.
#pragma once
#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>

namespace native {

// parallel calls f(begin, end) for ranges that together are [0, n), of at least grain
// where there are several. at::parallel_for, a template, would need this file to be
// compiled for libtorch's OpenMP, and to be linked to the same one: an iterator over
// a tensor calls the one inside libtorch. The tensor's memory is not touched.
template <typename F>
void parallel(int64_t n, int64_t grain, const F &f) {
  if (n <= 0) return;
  if (n <= grain) return f(int64_t(0), n);
  at::Tensor places = at::empty({n}, at::kByte);
  const char *first = static_cast<const char *>(places.data_ptr());
  at::TensorIterator::borrowing_nullary_op(places).for_each(
      [&](char **data, const int64_t *, int64_t size) {
        const int64_t begin = data[0] - first;
        f(begin, begin + size);
      },
      grain);
}

// parallel_tasks calls f(i) for each i in [0, n), in turn to whichever thread is free.
template <typename F>
void parallel_tasks(int64_t n, const F &f) {
  std::atomic<int64_t> next{0};
  parallel(std::min<int64_t>(n, at::get_num_threads()), 1, [&](int64_t, int64_t) {
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) f(i);
  });
}

// scratch is memory of this thread for n floats, aligned to 64 bytes. It is kept: fresh
// pages at each call would cost more than some kernels.
inline float *scratch(int64_t n) {
  struct Free {
    void operator()(float *p) const { std::free(p); }
  };
  thread_local std::unique_ptr<float, Free> memory;
  thread_local int64_t size = 0;
  if (n > size) {
    memory.reset();
    size = 0;
    memory.reset(static_cast<float *>(std::aligned_alloc(64, (n + 15) / 16 * 64)));
    if (!memory) throw std::bad_alloc();
    size = n;
  }
  return memory.get();
}

} // namespace native
