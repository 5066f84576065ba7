package torch_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/metatt/metatt/pkg/torch"
)

// What is uploaded is a copy of the data as they are when the call returns, on
// every device that there is.
func TestUploadCopies(t *testing.T) {
	devices := []torch.Device{torch.CPU}
	for i := range torch.CUDADevices() {
		devices = append(devices, torch.CUDA(i))
	}
	for _, device := range devices {
		inDo(t, func() {
			data := make([]int32, 3<<20) // long enough to be on its way when it is overwritten
			for i := range data {
				data[i] = int32(i)
			}
			want := slices.Clone(data)
			up := torch.Upload(data, device, 3, 1<<20)
			clear(data)
			if up.Device() != device || !slices.Equal(up.Shape(), []int64{3, 1 << 20}) {
				t.Errorf("%v on %s, want [3 %d] on %s", up.Shape(), up.Device(), 1<<20, device)
			}
			if got := torch.ToSlice[int32](up); !slices.Equal(got, want) {
				t.Errorf("%s: the elements are not those of the data", device)
			}
			if got := torch.Upload([]float32{}, device); got.Numel() != 0 || got.DType() != torch.Float32 {
				t.Errorf("%s: nothing is uploaded as %s%v", device, got.DType(), got.Shape())
			}
		})
	}
}

func TestUploadToNoDevice(t *testing.T) {
	missing := torch.CUDA(torch.CUDADevices())
	err := torch.Do(func() error { torch.Upload([]float32{1}, missing); return nil })
	if failed := (*torch.Error)(nil); !errors.As(err, &failed) || failed.Op != "upload" {
		t.Errorf("upload to %s: %v", missing, err)
	}
	if err := torch.Do(func() error { torch.Upload([]float32{1, 2}, torch.CPU, 3); return nil }); err == nil {
		t.Error("two elements have become three")
	}
}
