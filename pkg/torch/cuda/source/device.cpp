// Memory of a device and the precision of its matrix products.
#include "api.h"

#include <ATen/Context.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>

using namespace metatt;
namespace allocator = c10::cuda::CUDACachingAllocator;

namespace {

c10::DeviceIndex existing(int device) {
  TORCH_CHECK(device >= 0 && device < c10::cuda::device_count(), "there is no cuda:", device);
  at::globalContext().lazyInitDevice(at::kCUDA); // the allocator's memory of devices is empty before
  return static_cast<c10::DeviceIndex>(device);
}

} // namespace

// The most bytes that tensors held at once, and that were reserved from the device.
API char *metatt_memory_peak(int device, int64_t *allocated, int64_t *reserved) {
  return guarded([&] {
    auto stats = allocator::getDeviceStats(existing(device));
    const auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    *allocated = stats.allocated_bytes[all].peak;
    *reserved = stats.reserved_bytes[all].peak;
  });
}

API char *metatt_memory_reset(int device) {
  return guarded([&] { allocator::resetPeakStats(existing(device)); });
}

// Gives back what no tensor and no graph needs.
API char *metatt_memory_release(void) {
  return guarded([] { allocator::emptyCache(); });
}

API char *metatt_tf32(int on) {
  return guarded([&] { at::globalContext().setAllowTF32CuBLAS(on != 0); });
}
