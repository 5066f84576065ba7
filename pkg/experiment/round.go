package experiment

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/safetensors"
)

// headPrefix begins the names of a head's tensors, which stay fp32 in a bf16 run.
const headPrefix = "classifier."

// roundWeights writes the checkpoint of a model's folder with what is fp32 rounded to
// bf16, as loading it in bf16 does.
func roundWeights(dir, file string) error {
	checkpoint, err := hf.OpenCheckpoint(dir)
	if err != nil {
		return err
	}
	defer checkpoint.Close()
	var tensors []safetensors.Tensor
	for _, name := range checkpoint.Names() {
		info, _ := checkpoint.Info(name)
		size := int64(info.DType.Size())
		for _, n := range info.Shape {
			size *= n
		}
		data := make([]byte, size)
		if err := checkpoint.ReadInto(name, data); err != nil {
			return fmt.Errorf("%s: %w", checkpoint.Path(name), err)
		}
		dtype := info.DType
		if dtype == safetensors.F32 && !strings.HasPrefix(name, headPrefix) {
			dtype, data = safetensors.BF16, rounded(data)
		}
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: dtype, Shape: info.Shape, Data: data})
	}
	return safetensors.Write(file, tensors, map[string]string{"format": "pt"})
}

// rounded turns fp32 into the nearest bf16, of two as near the even one.
func rounded(data []byte) []byte {
	half := make([]byte, len(data)/2)
	for i := range len(half) / 2 {
		bits := binary.LittleEndian.Uint32(data[4*i:])
		if math.Float32frombits(bits) != math.Float32frombits(bits) {
			bits = 0x7fc00000
		} else {
			bits += 0x7fff + bits>>16&1
		}
		binary.LittleEndian.PutUint16(half[2*i:], uint16(bits>>16))
	}
	return half
}
