// CUDA graphs: what one thread queues on a stream of the pool, to be queued again by one
// call. Graphs that share a pool are replayed one after the other on one stream.
#include "api.h"
#include "graph.h"

#include <memory>

#include <ATen/core/CachingHostAllocator.h>
#include <ATen/cuda/CUDAGeneratorImpl.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAException.h>

using namespace metatt;

namespace {

// Does what may have been done already.
template <class F> void leniently(F f) {
  try {
    f();
  } catch (const std::exception &) {
  }
}

} // namespace

void Graph::abandon() {
  try {
    capture_end(); // what was recorded so far is a graph, too
    return;
  } catch (const std::exception &) {
    C10_CUDA_CLEAR_ERROR();
  }
  if (capture_ended_) return;
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  if (cudaStreamIsCapturing(capture_stream_, &status) == cudaSuccess && status != cudaStreamCaptureStatusNone) {
    cudaGraph_t rest = nullptr;
    if (cudaStreamEndCapture(capture_stream_, &rest) == cudaSuccess && rest) cudaGraphDestroy(rest);
  }
  for (auto &captured : captured_generator_states_) { // else eager dropout would fail from now on
    captured.first->capturing_ = false;
    captured.first->offset_intragraph_ = 0;
  }
  if (capture_dev_ != UNDEFINED_DEVICE) {
    namespace allocator = c10::cuda::CUDACachingAllocator;
    auto host = at::getHostAllocator(at::kCUDA);
    leniently([&] { allocator::endAllocateToPool(capture_dev_, mempool_id_); });
    leniently([&] { allocator::releasePool(capture_dev_, mempool_id_); });
    leniently([&] { host->end_allocate_to_pool(mempool_id_); });
    leniently([&] { host->release_pool(mempool_id_); });
  }
  C10_CUDA_CLEAR_ERROR();
}

void Graph::wait() const { capture_stream_.synchronize(); }

API char *metatt_pool_new(uint64_t *id) {
  return guarded([&] {
    auto pool = at::cuda::graph_pool_handle();
    id[0] = pool.first, id[1] = pool.second;
  });
}

// Only this thread's calls count: others may allocate meanwhile.
API char *metatt_capture_begin(uint64_t pool0, uint64_t pool1, void **out) {
  return guarded([&] {
    C10_CUDA_CHECK(cudaStreamSynchronize(c10::cuda::getCurrentCUDAStream()));
    auto g = std::make_unique<Graph>();
    try {
      g->capture_begin({pool0, pool1}, cudaStreamCaptureModeThreadLocal);
    } catch (...) {
      g->abandon();
      throw;
    }
    *out = g.release();
  });
}

// Frees the graph where it fails.
API char *metatt_capture_end(void *handle) {
  return guarded([&] {
    std::unique_ptr<Graph> g(graph(handle));
    try {
      g->capture_end();
    } catch (...) {
      g->abandon();
      throw;
    }
    g->instantiate();
    g.release();
  });
}

API char *metatt_capture_abandon(void *handle) {
  return guarded([&] { std::unique_ptr<Graph>(graph(handle))->abandon(); });
}

API char *metatt_graph_replay(void *handle) {
  return guarded([&] { graph(handle)->replay(); });
}

API char *metatt_graph_free(void *handle) {
  return guarded([&] {
    std::unique_ptr<Graph> g(graph(handle));
    g->wait(); // it may be running
  });
}
