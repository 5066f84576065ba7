// Package torch is the tensor layer: libtorch through gotch's lower package
// libtch, with owners for memory, errors for failures and nothing per element.
//
// All computation happens inside [Do], the boundary. It locks the OS thread,
// opens a scope and turns the panic of a failed operation into an *[Error]. Tensors made
// inside belong to the innermost scope and are freed when it closes, unless
// [Tensor.Keep] gives them to the caller:
//
//	var weight *torch.Tensor
//	err := torch.Do(func() error {
//		x := torch.FromSlice([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
//		weight = x.MatMul(x.T()).Keep() // (2, 2), the caller frees it
//		return nil
//	})
//
// Operations are methods and functions that panic with *Error; none of them
// may be called outside Do. One computation runs at a time in a process: a Do
// on another goroutine waits. libtorch spreads each operation over the cores
// by itself, so nothing is lost by that.
//
// Native state is of two kinds. Each OS thread has its own grad mode, error
// string and number of OpenMP's and MKL's threads: Do sets these on the thread
// that it locks. It has its own CUDA device and stream, which [EnterStream] sets
// until Leave, and its own autocast and inference mode and treatment of denormal
// numbers, which nothing here touches: they are as libtorch starts them. The generators, the default dtype (never
// used, every tensor is made with one) and the switches of cuDNN and oneDNN are
// the process's.
package torch
