// Page-locked memory and copies that nothing waits for.
#include "api.h"

#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

using namespace metatt;

namespace {

void copy(void *to, const void *from, const at::Tensor &device, int64_t bytes, cudaMemcpyKind kind) {
  TORCH_CHECK(device.is_cuda(), "the tensor is on the CPU");
  TORCH_CHECK(device.is_contiguous(), "the tensor is not contiguous");
  TORCH_CHECK(bytes >= 0 && static_cast<int64_t>(device.nbytes()) >= bytes, "the tensor has ", device.nbytes(), " bytes, ", bytes, " are to be copied");
  c10::cuda::CUDAGuard guard(device.device());
  C10_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, kind, c10::cuda::getCurrentCUDAStream()));
}

} // namespace

// A tensor of bytes and its memory.
API char *metatt_pinned_new(int64_t bytes, void **out, void **data) {
  return guarded([&] {
    auto t = at::empty({bytes}, at::TensorOptions().dtype(at::kByte).device(at::kCPU).pinned_memory(true));
    *data = t.data_ptr();
    *out = handle(std::move(t));
  });
}

API char *metatt_upload(void *tensor_, const void *host, int64_t bytes) {
  return guarded([&] { copy(tensor(tensor_).data_ptr(), host, tensor(tensor_), bytes, cudaMemcpyHostToDevice); });
}

API char *metatt_download(void *host, void *tensor_, int64_t bytes) {
  return guarded([&] { copy(host, tensor(tensor_).data_ptr(), tensor(tensor_), bytes, cudaMemcpyDeviceToHost); });
}
