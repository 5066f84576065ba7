// Package models loads the model in a folder, whichever family it is of.
package models

import (
	"github.com/metatt/metatt/pkg/models/bert"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/models/roberta"
	"github.com/metatt/metatt/pkg/torch"
)

// Load reads a BERT or a RoBERTa, as config.json's model_type says.
func Load(dir string, o encoder.Options) (*encoder.Model, error) {
	return encoder.Load(dir, o, bert.Family, roberta.Family)
}

// LoadBackbone reads the backbone of a BERT or a RoBERTa, for any number of heads.
func LoadBackbone(dir string, dtype torch.DType, device torch.Device) (*encoder.Backbone, error) {
	return encoder.LoadBackbone(dir, dtype, device, bert.Family, roberta.Family)
}
