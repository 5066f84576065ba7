package torch

import (
	"fmt"
	"testing"

	"github.com/sugarme/gotch/libtch"
)

// BenchmarkLinear compares products by oneDNN with libtorch's own choice, in turns, on one
// thread: forward with a bias, and the gradient by the input. Sizes are MiniLM's and
// base's, 1,687 rows.
func BenchmarkLinear(b *testing.B) {
	const rows = 1687
	for _, dtype := range []DType{Float32, BFloat16} {
		for _, size := range [][2]int64{{384, 1152}, {384, 384}, {384, 1536}, {1536, 384}, {768, 2304}, {768, 768}, {768, 3072}, {3072, 768}} {
			in, out := size[0], size[1]
			for _, way := range []string{"forward", "gradient"} {
				b.Run(fmt.Sprintf("%s/%d to %d/%s", dtype, in, out, way), func(b *testing.B) {
					if err := Do(func() error {
						defer OneThread()()
						NoGrad(func() {
							x, w, bias := Randn(Float32, CPU, rows, in).ToDType(dtype), Randn(Float32, CPU, out, in).ToDType(dtype), Randn(Float32, CPU, out).ToDType(dtype)
							grad := Randn(Float32, CPU, rows, out).ToDType(dtype)
							took := inTurns(b, func(i int) {
								switch {
								case way == "forward" && i == 0:
									nativeLinear(x, w, bias)
								case way == "forward":
									libtch.AtgLinear(&slots[0], x.handle("linear"), w.handle("linear"), bias.handle("linear"))
									result("linear")
								case i == 0:
									nativeLinear(grad, w.T(), nil)
								default:
									binary("matmul", libtch.AtgMatmul, grad, w)
								}
							})
							flops := 2 * rows * float64(in*out) / 1e6
							b.ReportMetric(flops/took[0], "GFLOP/s-kernel")
							b.ReportMetric(flops/took[1], "GFLOP/s-plain")
						})
						return nil
					}); err != nil {
						b.Fatal(err)
					}
				})
			}
		}
	}
}
