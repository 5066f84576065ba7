package gotchts_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/sugarme/gotch/ts"

	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/torch/gotchts"
)

// The two sides see each other's writes, and either may free first.
func TestSharedStorage(t *testing.T) {
	theirs := ts.TensorFrom([]float32{1, 2, 3})
	var kept *torch.Tensor
	if err := torch.Do(func() error {
		kept = gotchts.FromTS(theirs).Keep()
		kept.MulScalarInPlace(2)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := theirs.Float64Values(); !slices.Equal(got, []float64{2, 4, 6}) {
		t.Errorf("gotch sees %v", got)
	}
	theirs.MustDrop()
	var back *ts.Tensor
	if err := torch.Do(func() error {
		if got := torch.ToSlice[float32](kept); !slices.Equal(got, []float32{2, 4, 6}) {
			t.Errorf("after gotch dropped its handle: %v", got)
		}
		back = gotchts.ToTS(kept)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	kept.Free()
	if got := back.Float64Values(); !slices.Equal(got, []float64{2, 4, 6}) {
		t.Errorf("after this side freed its handle: %v", got)
	}
	back.MustDrop()
}

// Gradients flow through the bridge.
func TestGradient(t *testing.T) {
	theirs := ts.TensorFrom([]float32{1, 2, 3}).MustSetRequiresGrad(true, true)
	defer theirs.MustDrop()
	if err := torch.Do(func() error {
		x := gotchts.FromTS(theirs)
		g := torch.Gradients(x.Mul(x).Sum(), []*torch.Tensor{x})
		if got := torch.ToSlice[float32](g[0]); !slices.Equal(got, []float32{2, 4, 6}) {
			t.Errorf("gradient %v", got)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestDroppedTensorIsAnError(t *testing.T) {
	dropped := ts.TensorFrom([]float32{1})
	dropped.MustDrop()
	for _, x := range []*ts.Tensor{nil, dropped} {
		err := torch.Do(func() error { gotchts.FromTS(x); return nil })
		if typed := (*torch.Error)(nil); !errors.As(err, &typed) {
			t.Errorf("error %v is not a torch.Error", err)
		}
	}
	err := torch.Do(func() error {
		x := torch.Ones(torch.Float32, torch.CPU, 1)
		x.Free()
		gotchts.ToTS(x)
		return nil
	})
	if typed := (*torch.Error)(nil); !errors.As(err, &typed) {
		t.Errorf("error %v is not a torch.Error", err)
	}
}
