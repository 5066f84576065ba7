// Streams and events. A graph can be captured on a stream of the pool alone.
#include "api.h"

#include <memory>

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

using namespace metatt;
using c10::cuda::CUDAStream;

namespace {

// What a thread computed on before it entered a stream.
struct Entered {
  c10::DeviceIndex device;
  CUDAStream stream; // of the entered device
};

cudaEvent_t event_of(void *event) { return static_cast<cudaEvent_t>(event); }

} // namespace

// Makes a stream of the device's pool, and the device, the current ones of this thread.
// Memory that was given out on one stream and is freed in the other is no danger: each
// begins when all before is done.
API char *metatt_stream_enter(int device, void **out) {
  return guarded([&] {
    auto index = static_cast<c10::DeviceIndex>(device);
    auto before = c10::cuda::current_device();
    c10::cuda::set_device(index);
    try {
      auto entered = std::make_unique<Entered>(Entered{before, c10::cuda::getCurrentCUDAStream(index)});
      C10_CUDA_CHECK(cudaDeviceSynchronize());
      c10::cuda::setCurrentCUDAStream(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, index));
      *out = entered.release();
    } catch (...) {
      c10::cuda::set_device(before);
      throw;
    }
  });
}

API char *metatt_stream_leave(void *stream) {
  return guarded([&] {
    std::unique_ptr<Entered> entered(static_cast<Entered *>(stream));
    auto failed = cudaDeviceSynchronize();
    c10::cuda::setCurrentCUDAStream(entered->stream);
    c10::cuda::set_device(entered->device);
    C10_CUDA_CHECK(failed);
  });
}

API char *metatt_stream_synchronize(void) {
  return guarded([] { C10_CUDA_CHECK(cudaStreamSynchronize(c10::cuda::getCurrentCUDAStream())); });
}

API char *metatt_event_new(void **out) {
  return guarded([&] {
    cudaEvent_t event = nullptr;
    C10_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    *out = event;
  });
}

API char *metatt_event_record(void *event) {
  return guarded([&] { C10_CUDA_CHECK(cudaEventRecord(event_of(event), c10::cuda::getCurrentCUDAStream())); });
}

API char *metatt_event_wait(void *event) {
  return guarded([&] { C10_CUDA_CHECK(cudaEventSynchronize(event_of(event))); });
}

API char *metatt_event_query(void *event, int *done) {
  return guarded([&] {
    auto state = cudaEventQuery(event_of(event));
    *done = state == cudaSuccess;
    if (state == cudaErrorNotReady) {
      C10_CUDA_CLEAR_ERROR(); // it is an answer
      return;
    }
    C10_CUDA_CHECK(state);
  });
}

API char *metatt_event_free(void *event) {
  return guarded([&] { C10_CUDA_CHECK(cudaEventDestroy(event_of(event))); });
}
