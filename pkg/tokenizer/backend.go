package tokenizer

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	sugarme "github.com/sugarme/tokenizer"
)

// ofVocabulary makes the tokenizer that a class makes of vocab.txt, or of vocab.json and merges.txt.
func (s *settings) ofVocabulary(class tokenizerClass) (*Tokenizer, error) {
	switch class.backend {
	case bertBackend:
		content, err := s.files.read("vocab.txt")
		if err != nil {
			return nil, fmt.Errorf("%w; %s needs it", err, class.name)
		}
		return s.bert(class, "vocab.txt", vocabTxt(content), nil)
	case robertaBackend:
		content, err := s.files.read("vocab.json")
		if err != nil {
			return nil, fmt.Errorf("%w; %s needs it", err, class.name)
		}
		model, err := s.vocabJSON(content)
		if err != nil {
			return nil, err
		}
		return s.roberta(class, "vocab.json", model, nil)
	}
	return nil, fmt.Errorf("%s has no tokenizer.json, which tokenizer_class %s needs", s.dir, class.name)
}

// ofTokenizerJSON makes the tokenizer that a class makes of tokenizer.json.
func (s *settings) ofTokenizerJSON(class tokenizerClass, content string) (*Tokenizer, error) {
	const name = "tokenizer.json"
	file, err := parseTokenizerJSON([]byte(content))
	if err != nil {
		return nil, s.named(name, err)
	}
	wordPiece, isWordPiece := file.model.(*wordPiece)
	bpe, isBPE := file.model.(*bpe)
	switch {
	case class.backend == bertBackend && isWordPiece:
		return s.bert(class, name, wordPiece.vocabulary, file)
	case class.backend == robertaBackend && isBPE:
		rebuilt := *bpe
		rebuilt.unk, rebuilt.fuseUnk, rebuilt.ignoreMerges = "", false, false
		return s.roberta(class, name, &rebuilt, file)
	case class.backend == genericBackend:
		return s.generic(class, file)
	}
	return nil, s.named(name, fmt.Errorf("model.type: not that of %s, which %s or config.json names", class.name, configFile))
}

// bert is BertTokenizer of a vocabulary. What tokenizer.json stores besides is not used, only noted where it differs.
func (s *settings) bert(class tokenizerClass, file string, v vocabulary, stored *tokenizerFile) (*Tokenizer, error) {
	rules := bertRules{cleanText: true, spaceIdeographs: true, lowercase: true}
	chosen := s.read("do_lower_case", &rules.lowercase)
	s.read("tokenize_chinese_chars", &rules.spaceIdeographs)
	rules.stripAccents = rules.lowercase
	s.read("strip_accents", &rules.stripAccents)
	special, tokens := s.tokens(class, stored)
	if err := s.err(); err != nil {
		return nil, err
	}
	model, err := newWordPiece(v, special.content("unk_token"), "##", 100)
	if err != nil {
		return nil, s.named(file, err)
	}
	if stored == nil && !chosen {
		s.note("%s has no do_lower_case: text is lower-cased, as %s does by default", configFile, class.name)
	}
	if stored != nil {
		had, had2 := stored.encoder.(*bertEncoder).bertRules, stored.model.(*wordPiece)
		s.compare(class, "normalizer.lowercase", had.lowercase, rules.lowercase)
		s.compare(class, "normalizer.strip_accents", had.stripAccents, rules.stripAccents)
		s.compare(class, "normalizer.handle_chinese_chars", had.spaceIdeographs, rules.spaceIdeographs)
		s.compare(class, "normalizer.clean_text", had.cleanText, rules.cleanText)
		s.compare(class, "model.unk_token", had2.unk.Value, model.unk.Value)
		s.compare(class, "model.continuing_subword_prefix", had2.prefix, model.prefix)
		s.compare(class, "model.max_input_chars_per_word", had2.maxChars, model.maxChars)
	}
	return s.assemble(class, parts{file, model, newBERTEncoder(model, rules), special, tokens, bertProcessing, stored})
}

// roberta is RobertaTokenizer of a vocabulary and merges.
func (s *settings) roberta(class tokenizerClass, file string, model *bpe, stored *tokenizerFile) (*Tokenizer, error) {
	var addPrefixSpace bool
	s.read("add_prefix_space", &addPrefixSpace)
	special, tokens := s.tokens(class, stored)
	if stored != nil {
		had := stored.model.(*bpe)
		s.compare(class, "pre_tokenizer.add_prefix_space", stored.encoder.(*byteLevelEncoder).addPrefixSpace, addPrefixSpace)
		s.compare(class, "model.unk_token", had.unk, model.unk)
		s.compare(class, "model.fuse_unk", had.fuseUnk, model.fuseUnk)
		s.compare(class, "model.ignore_merges", had.ignoreMerges, model.ignoreMerges)
	}
	return s.assemble(class, parts{file, model, newByteLevelEncoder(model, addPrefixSpace), special, tokens, robertaProcessing, stored})
}

// generic is tokenizer.json as it stands, with the settings' tokens.
func (s *settings) generic(class tokenizerClass, stored *tokenizerFile) (*Tokenizer, error) {
	special, tokens := s.tokens(class, stored)
	return s.assemble(class, parts{"tokenizer.json", stored.model, stored.encoder, special, tokens, nil, stored})
}

// compare notes what a class puts in the place of what tokenizer.json stores.
func (s *settings) compare(class tokenizerClass, field string, stored, used any) {
	if stored != used {
		s.note("tokenizer.json: %s is %v, but %s takes %v (its options are in %s)", field, quoted(stored), class.name, quoted(used), configFile)
	}
}

func quoted(value any) any {
	if text, ok := value.(string); ok {
		return fmt.Sprintf("%.40q", text)
	}
	return value
}

// parts are what a tokenizer is made of.
type parts struct {
	file    string // that has the vocabulary
	model   sugarme.Model
	encoder textEncoder
	special namedTokens
	tokens  []addition
	process func(cls, sep int32) postProcessor // nil: as stored
	stored  *tokenizerFile                     // nil without tokenizer.json
}

func (s *settings) assemble(class tokenizerClass, p parts) (*Tokenizer, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	tokens := make([]sugarme.TokenConfig, len(p.tokens))
	for i, t := range p.tokens {
		tokens[i] = t.TokenConfig
	}
	added, err := newAddedVocabulary(tokens, p.model, p.encoder.normalize)
	if wrong := (*idError)(nil); errors.As(err, &wrong) {
		return nil, s.named(p.tokens[wrong.i].file, errors.New(wrong.reason()))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.dir, err)
	}
	for _, id := range slices.Sorted(maps.Keys(added.byID)) {
		token := added.byID[id]
		if _, ok := p.model.TokenToId(token.Content); !ok && token.Id == noID {
			s.note("%q is not in the vocabulary of %s: it is added with the id %d", token.Content, p.file, id)
		}
	}
	side, post := "right", postProcessor{}
	if p.stored != nil {
		side, post = p.stored.direction, p.stored.post
	}
	if p.process != nil {
		var ids [2]int
		for i, name := range []string{"cls_token", "sep_token"} {
			token := p.special.content(name)
			if token == "" {
				o, _ := s.holder(name)
				return nil, s.named(s.fileOf(o), fmt.Errorf("%s: there has to be one for %s", name, class.name))
			}
			ids[i] = added.ids[token]
		}
		post = p.process(int32(ids[0]), int32(ids[1]))
		if p.stored != nil && !reflect.DeepEqual(post, p.stored.post) {
			s.note("tokenizer.json: post_processor is not used: %s places %s and %s by itself", class.name, p.special.content("cls_token"), p.special.content("sep_token"))
		}
	}
	if plain := post.withoutTypes(); !s.tokenTypes(class) && !reflect.DeepEqual(plain, post) {
		post = plain
		s.note("token types are all 0: model_input_names, in %s or by the default of %s, has no token_type_ids", configFile, class.name)
	}
	t := newTokenizer(p.model, p.encoder, added, post)
	t.truncateLeft = s.truncateLeft(side)
	var split bool
	if s.read("split_special_tokens", &split); split {
		t.added.raw.skipSpecial()
		t.added.normalized.skipSpecial()
	}
	if err := s.finish(class); err != nil {
		return nil, err
	}
	fmt.Fprintf(s.digest, "%s%s\n", rules, class.name)
	t.notes = s.notes
	return t, nil
}
