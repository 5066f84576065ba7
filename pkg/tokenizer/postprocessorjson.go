package tokenizer

import (
	"cmp"
	"math"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

func (o *object) postProcessor() (postProcessor, error) {
	p, kind := o.child("post_processor")
	switch {
	case o.err != nil:
		return postProcessor{}, o.err
	case p == nil:
		return noProcessing(), nil
	case kind == "TemplateProcessing":
		return p.templateProcessing()
	case kind == "BertProcessing":
		cls, sep := p.namedID("cls"), p.namedID("sep")
		return bertProcessing(cls, sep), p.done()
	case kind == "RobertaProcessing":
		p.ignore("trim_offsets", "add_prefix_space") // of offsets
		cls, sep := p.namedID("cls"), p.namedID("sep")
		return robertaProcessing(cls, sep), p.done()
	}
	return postProcessor{}, o.fail("post_processor.type",
		"%q is not supported, only TemplateProcessing, BertProcessing and RobertaProcessing", kind)
}

// namedID reads a field [token, id].
func (o *object) namedID(name string) int32 {
	var token string
	var id int
	if o.fields[name] == nil {
		o.fail(name, "the field is missing")
	}
	values := 0
	o.elements(name, func(i int, raw jsontext.Value) {
		values++
		switch i {
		case 0:
			o.decode(name, raw, &token)
		case 1:
			o.decode(name, raw, &id)
		}
	})
	if values != 2 {
		o.fail(name, "%d values instead of a token and its id", values)
	}
	o.checkID(name, token, id)
	return int32(id)
}

func (o *object) templateProcessing() (postProcessor, error) {
	specials := o.specialTokens()
	if o.err != nil {
		return postProcessor{}, o.err
	}
	p := postProcessor{single: o.template("single", "A", specials), pair: o.template("pair", "AB", specials)}
	return p, o.done()
}

// specialTokens reads the ids of the tokens that templates name.
func (o *object) specialTokens() map[string][]int32 {
	const field = "special_tokens"
	raw := o.take(field)
	if raw == nil {
		o.fail(field, "the field is missing")
		return nil
	}
	tokens, err := parseObject(o.path+field+".", raw)
	if err != nil {
		o.err = cmp.Or(o.err, err)
		return nil
	}
	specials := make(map[string][]int32, len(tokens.fields))
	for name, raw := range tokens.fields {
		var token struct {
			IDs []int `json:"ids"`
		}
		o.decode(field, raw, &token)
		specials[name] = make([]int32, len(token.IDs))
		for i, id := range token.IDs {
			o.checkID(field, name, id)
			specials[name][i] = int32(id)
		}
	}
	return specials
}

// template reads a template in which each of the sequences (a letter each) stands once.
func (o *object) template(name, sequences string, specials map[string][]int32) template {
	if o.fields[name] == nil {
		o.fail(name, "the field is missing")
	}
	var pieces []piece
	var seen string
	o.elements(name, func(i int, raw jsontext.Value) {
		place := element(name, i)
		if i == maxFields {
			o.fail(place, "more than %d pieces", maxFields)
		}
		var entry map[string]struct {
			ID     string `json:"id"`
			TypeID int    `json:"type_id"`
		}
		o.decode(place, raw, &entry)
		if len(entry) != 1 {
			o.fail(place, "%d pieces instead of one", len(entry))
		}
		for kind, from := range entry {
			p := piece{sequence: specialTokens, typeID: int32(from.TypeID)}
			if from.TypeID < 0 || from.TypeID > math.MaxInt32 {
				o.fail(place, "type_id %d is outside 0…%d", from.TypeID, math.MaxInt32)
			}
			switch kind {
			case "SpecialToken":
				var known bool
				if p.ids, known = specials[from.ID]; !known {
					o.fail(place, "%q is not among special_tokens", from.ID)
				}
			case "Sequence":
				if from.ID != "A" && from.ID != "B" {
					o.fail(place, "there is no sequence %q", from.ID)
				}
				p.sequence = strings.Index("AB", from.ID)
				seen += from.ID
			default:
				o.fail(place, "%q is neither Sequence nor SpecialToken", kind)
			}
			pieces = append(pieces, p)
		}
	})
	for _, sequence := range sequences {
		if strings.Count(seen, string(sequence)) != 1 || len(seen) != len(sequences) {
			o.fail(name, "the sequences %q instead of %q, each once", seen, sequences)
		}
	}
	return newTemplate(pieces...)
}
