package loretta

import (
	"fmt"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/factored"
	"github.com/metatt/metatt/pkg/adapter/setting"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/tt"
)

func init() {
	factored.RegisterNonlinear(factored.WithTensorTrains(adapter.Method{
		Name: "loretta-adp", PEFTType: "LORETTA_ADP", Settings: setting.Declaration{Rank: usualWidth, Idle: []string{"targets"}},
		Summary: "y + α up(ReLU(down(y))) after both sublayers of every layer, whatever the targets; down and up are tensor trains over " +
			"factors(D) and factors(rank), the rank is the bottleneck's width; 2L(2Σ r_k n_k r_{k+1} + rank + D); " +
			"arXiv 2402.11417, without its trained norms and TT classifier",
	}), planAdp)
}

// usualWidth is that of the adapters, its authors' choice.
const usualWidth = 64

// sublayers is what the adapters follow.
var sublayers = []adapter.Kind{adapter.Output, adapter.FFNDown}

// adp is LoRETTA-adp: after the attention and after the feed-forward network of
// each layer, before the residual is added,
//
//	y + α (ReLU(y V + c) U + d)    for y (tokens, D), V (D, b), c (b), U (b, D), d (D),
//
// with V a tensor train of the modes factors(D), factors(b), U its mirror image, and b
// the rank. The bottleneck is cut into two factors, so that width 768 with 64 has
// the reference's modes, 8·8·12 and 8·8. As Houlsby's adapters it reads what the
// sublayer's dropout leaves; the reference, in training, what it is given.
type adp struct {
	width, bottleneck int64
	scale             float64
	places            []place
}

// place is the tensor trains and biases behind one sublayer, of all layers.
type place struct {
	after    adapter.Kind
	down, up factored.TensorTrain
}

func planAdp(s factored.Settings) (factored.Nonlinear, error) {
	f := adp{width: s.Architecture.Hidden, bottleneck: s.Rank, scale: s.Alpha}
	limit := factored.Limit{Largest: f.width, Of: fmt.Sprintf("a bottleneck in width %d", f.width)}
	if err := limit.Check("rank", f.bottleneck); err != nil {
		return nil, err
	}
	falling := slices.Concat(tt.Factors(f.width), twoFactors(f.bottleneck))
	rising := slices.Clone(falling)
	slices.Reverse(falling)
	ttLimit := factored.Limit{Largest: tt.LargestRank(rising), Of: fmt.Sprintf("modes %v", rising)}
	rank := s.TTRank
	if rank == 0 {
		rank = min(defaultTTRank, ttLimit.Largest)
	}
	if rank < 1 {
		return nil, fmt.Errorf("tt_rank %d: it is at least 1", rank)
	}
	if err := ttLimit.Check("tt_rank", rank); err != nil {
		return nil, err
	}
	for _, kind := range sublayers {
		tensorTrain := func(name string, modes []int64) factored.TensorTrain {
			return factored.TensorTrain{
				Name: kind.String() + "." + name, Layers: int64(s.Architecture.Layers), Left: 1, Right: 1, Modes: modes, Rank: rank,
			}
		}
		f.places = append(f.places, place{kind, tensorTrain("down", rising), tensorTrain("up", falling)})
	}
	return f, nil
}

// twoFactors cuts n into two factors, as nearly equal as they can be, the
// smaller first; a prime and 1 are one factor.
func twoFactors(n int64) []int64 {
	smaller := int64(1)
	for a := int64(2); a*a <= n; a++ {
		if n%a == 0 {
			smaller = a
		}
	}
	if smaller == 1 {
		return []int64{n}
	}
	return []int64{smaller, n / smaller}
}

// Leaves implements [factored.Trained]. V has the reference's variance and its
// bias the reference's start; U begins likewise but for its last core, which is
// zero as its bias is: the update is zero at the start, the reference's is not.
func (f adp) Leaves() []factored.Leaf {
	variance := 1 / float64(f.width+f.bottleneck)
	var leaves []factored.Leaf
	for _, p := range f.places {
		bias := func(t factored.TensorTrain, size int64, start factored.Start) factored.Leaf {
			return factored.Leaf{Name: t.Name + ".bias", Shape: []int64{t.Layers, size}, Start: start}
		}
		leaves = append(leaves, p.down.Leaves(variance)...)
		leaves = append(leaves, bias(p.down, f.bottleneck, factored.Kaiming(f.bottleneck))) // within 1/√b
		leaves = append(leaves, factored.ZeroLast(p.up.Leaves(variance))...)
		leaves = append(leaves, bias(p.up, f.width, factored.Zero))
	}
	return leaves
}

// TTRank implements [factored.TTRanked].
func (f adp) TTRank() int64 { return f.places[0].down.Rank }

// Nonlinear implements [factored.Nonlinear].
func (adp) Nonlinear() string {
	return "its adapters have a ReLU between two matrices, and stand behind the sublayers"
}

// Begin implements [factored.Trained]. Each tensor train is cut at the bond between the
// modes of the width and those of the bottleneck: tokens go through its rank, and
// neither V nor U is made. The tensor trains of all layers are multiplied out together.
func (f adp) Begin(tensors []*torch.Tensor, step adapter.Step) adapter.Pass {
	pass := adpPass{}
	take := func(n int) []*torch.Tensor {
		taken := tensors[:n]
		tensors = tensors[n:]
		return taken
	}
	wide, narrow := len(tt.Factors(f.width)), len(twoFactors(f.bottleneck))
	half := func(cores []*torch.Tensor, rows, columns int64) *torch.Tensor { // (L, rows, columns)
		return tt.Contract(cores).Reshape(-1, rows, columns)
	}
	for _, p := range f.places {
		rank := p.down.Rank
		b := bottleneck{
			downIn: half(take(wide), f.width, rank), downOut: half(take(narrow), rank, f.bottleneck), downBias: take(1)[0],
			upIn: half(take(narrow), f.bottleneck, rank), upOut: half(take(wide), rank, f.width).MulScalar(f.scale), upBias: take(1)[0].MulScalar(f.scale),
		}
		pass[p.after] = b.toDType(step.DType)
	}
	return pass
}

// adpPass is the adapters by the sublayer that they follow. It implements
// [adapter.SublayerPass].
type adpPass map[adapter.Kind]bottleneck

// bottleneck is the adapters of all layers behind one sublayer, for the rank t of
// the tensor trains; α is in upOut and upBias.
type bottleneck struct {
	downIn, downOut, downBias *torch.Tensor // (L, D, t), (L, t, b), (L, b)
	upIn, upOut, upBias       *torch.Tensor // (L, b, t), (L, t, D), (L, D)
}

func (b bottleneck) toDType(dtype torch.DType) bottleneck {
	return bottleneck{
		b.downIn.ToDType(dtype), b.downOut.ToDType(dtype), b.downBias.ToDType(dtype),
		b.upIn.ToDType(dtype), b.upOut.ToDType(dtype), b.upBias.ToDType(dtype),
	}
}

// ApplyJoined implements [adapter.JoinedPass].
func (adpPass) ApplyJoined(_ int, _, frozen *torch.Tensor) *torch.Tensor { return frozen }

// Apply implements [adapter.Pass]: no matrix is adapted.
func (adpPass) Apply(_ []adapter.Site, _ *torch.Tensor, frozen []*torch.Tensor) []*torch.Tensor {
	return frozen
}

// AfterSublayer implements [adapter.SublayerPass]. y is kept: backward needs it.
func (p adpPass) AfterSublayer(layer int, after adapter.Kind, y *torch.Tensor) *torch.Tensor {
	b := p[after]
	at := func(t *torch.Tensor) *torch.Tensor { return t.Select(0, int64(layer)) }
	h := y.MatMul(at(b.downIn)).Linear(at(b.downOut).T(), at(b.downBias)).ReLU()    // (tokens, D) x (D, t), (tokens, t) x (t, b)
	return h.MatMul(at(b.upIn)).Linear(at(b.upOut).T(), at(b.upBias)).AddInPlace(y) // (tokens, b) x (b, t), (tokens, t) x (t, D)
}
