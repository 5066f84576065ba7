package lora

import "github.com/metatt/metatt/pkg/torch"

// triplet is the tensors of one module.
type triplet struct {
	at
	down   *torch.Tensor // Q (r, In), lora_A
	up     *torch.Tensor // P (Out, r), lora_B
	values *torch.Tensor // Λ's diagonal (r, 1), lora_E
	live   []bool        // which of the initial components are left; nil: all
	// Smoothed sensitivity and uncertainty of each element of down, up and
	// values; nil once ranks have fallen.
	sensitivity, uncertainty [3]*torch.Tensor
}

func (t *triplet) tensors() [3]*torch.Tensor { return [3]*torch.Tensor{t.down, t.up, t.values} }

func (t *triplet) free() {
	for _, tensor := range t.tensors() {
		tensor.Free()
	}
	t.forget()
}

// forget frees the importance.
func (t *triplet) forget() {
	for i := range t.sensitivity {
		t.sensitivity[i].Free()
		t.uncertainty[i].Free()
		t.sensitivity[i], t.uncertainty[i] = nil, nil
	}
}
