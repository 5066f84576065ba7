package lora

import (
	"fmt"
	"strconv"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// Config implements [adapter.Adapter].
func (v *vera) Config() adapter.Config {
	c := v.describe("VERA", v.rank, 1)
	for key, value := range map[string]any{
		"vera_dropout": v.dropout, "d_initial": veraDStart, "init_weights": true,
		"projection_prng_key": v.seed, "save_projection": true,
	} {
		c.PEFT[key] = value
	}
	return c
}

// openVeRA makes the vectors of a file, with the matrices that stand there too, or
// that were not stored because their key says what they are.
func openVeRA(s *adapter.Saved, device torch.Device) (adapter.Adapter, error) {
	base, err := ofSaved[*scales]("vera", s, veraKeys)
	if err != nil {
		return nil, err
	}
	modules, err := savedModules(s, "", veraB)
	if err != nil {
		return nil, err
	}
	seed := int64(0)
	if key := s.Raw("projection_prng_key"); key != nil { // as it is written: a float would round it
		if seed, err = strconv.ParseInt(string(key), 10, 64); err != nil {
			return nil, fmt.Errorf("projection_prng_key is %.40s, not the seed of a generator", key)
		}
	}
	v := &vera{adapted: base, rank: s.Config.Ranks[0], seed: uint64(seed)}
	stored := true
	if save, ok := s.Config.PEFT["save_projection"].(bool); ok {
		stored = save
	}
	return v.make(modules, func(in, out int64) (err error) {
		for _, site := range v.all() {
			if site.d, err = s.Tensor(site.name+veraD, device, v.rank); err != nil {
				return err
			}
			if site.b, err = s.Tensor(site.name+veraB, device, site.site.Out); err != nil {
				return err
			}
		}
		if stored || s.Shape(veraDown) != nil {
			if v.down, err = s.Tensor(veraDown, device, v.rank, in); err != nil {
				return err
			}
			if v.up, err = s.Tensor(veraUp, device, out, v.rank); err != nil {
				return err
			}
			return nil
		}
		v.draw(device, in, out)
		return nil
	})
}
