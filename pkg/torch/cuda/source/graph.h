#pragma once

#include <ATen/cuda/CUDAGraph.h>

namespace metatt {

// libtorch's graph, which leaves allocators and generators in the middle of a capture
// that fails.
struct Graph : at::cuda::CUDAGraph {
  Graph() : at::cuda::CUDAGraph(/*keep_graph=*/true) {}
  // Ends a capture that is not to be used, as far as it has come.
  void abandon();
};

inline Graph *graph(void *handle) { return static_cast<Graph *>(handle); }

} // namespace metatt
