// Streams. A graph can be captured on a stream of the pool alone.
#include "api.h"

#include <map>
#include <memory>
#include <mutex>

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

// The stream of this library on a device: memory that is given back is kept for the stream
// that it was of.
CUDAStream stream_of(c10::DeviceIndex device) {
  static std::mutex mutex;
  static std::map<c10::DeviceIndex, CUDAStream> streams;
  std::lock_guard<std::mutex> lock(mutex);
  auto found = streams.find(device);
  if (found == streams.end()) found = streams.emplace(device, c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device)).first;
  return found->second;
}

} // namespace

// Makes a stream of the device's pool, always the same, and the device the current ones
// of this thread. Memory that was given out on one stream and is freed in the other is no
// danger: each begins when all before is done.
API char *metatt_stream_enter(int device, void **out) {
  return guarded([&] {
    auto index = static_cast<c10::DeviceIndex>(device);
    auto before = c10::cuda::current_device();
    c10::cuda::set_device(index);
    try {
      auto entered = std::make_unique<Entered>(Entered{before, c10::cuda::getCurrentCUDAStream(index)});
      C10_CUDA_CHECK(cudaDeviceSynchronize());
      c10::cuda::setCurrentCUDAStream(stream_of(index));
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
