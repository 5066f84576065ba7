package torch

import "github.com/sugarme/gotch/libtch"

// Upload is [FromSlice] on any device. To a CUDA device the data go by way of
// pinned memory, and nothing waits for the copy: what uses the tensor is queued
// behind it, and libtorch's allocator keeps the pinned memory until it is done.
func Upload[T Element](data []T, device Device, shape ...int64) *Tensor {
	t := FromSlice(data, shape...)
	if device == CPU {
		return t
	}
	const op = "upload"
	// pin_memory itself warns of its device argument, which gotch always gives.
	libtch.Atg_PinMemory(&slots[0], t.handle(op), int32(device))
	pinned := result(op, t)
	libtch.AtgToDevice(&slots[0], pinned.handle(op), int32(device), int32(t.DType()), 1, 0)
	return result(op, pinned)
}
