package tokenizer

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	sugarme "github.com/sugarme/tokenizer"

	"github.com/metatt/metatt/pkg/internal/rawjson"
)

// specialNames are the tokens that every class knows, in the order in which transformers adds them.
var specialNames = []string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}

// defaultTokens are the special tokens of a class that the settings do not name.
func (c tokenizerClass) defaultTokens() map[string]string {
	switch c.backend {
	case bertBackend:
		return map[string]string{"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}
	case robertaBackend:
		return map[string]string{
			"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>", "cls_token": "<s>", "mask_token": "<mask>",
		}
	}
	return nil
}

// namedTokens are the special tokens that the settings name.
type namedTokens struct {
	named []namedToken // those of specialNames that are not null, then the model's own
	extra []token
}

// content is the text of a token of specialNames, "" where there is none.
func (t namedTokens) content(name string) string {
	for _, token := range t.named {
		if token.name == name {
			return token.Content
		}
	}
	return ""
}

func (t namedTokens) isNamed(content string) bool {
	return slices.ContainsFunc(t.named, func(t namedToken) bool { return t.Content == content })
}

// addition is a token to add, and the file that gives it an id, if one does.
type addition struct {
	sugarme.TokenConfig
	file string
}

// claimedToken has the id that a file gives it.
type claimedToken struct {
	token
	id   int
	file string
}

// tokens reads the special tokens, and all tokens in the order in which transformers adds them to the vocabulary. Those of
// tokenizer.json, where there is one, the generic class has already.
func (s *settings) tokens(class tokenizerClass, file *tokenizerFile) (namedTokens, []addition) {
	defaults := class.defaultTokens()
	var stored []sugarme.TokenConfig
	if file != nil {
		stored = file.added
		if class.backend == genericBackend && file.padToken != "" {
			defaults = map[string]string{"pad_token": file.padToken}
		}
	}
	special, known := s.specialTokens(defaults)
	claimed := s.claimedTokens(known, stored)
	for i, named := range special.named {
		if _, given := known.given[named.name]; !given {
			continue
		}
		for _, c := range claimed { // the last, as in a map
			if c.Content == named.Content {
				special.named[i].token = c.token
			}
		}
	}

	var tokens []addition
	there, seen := make(map[string]bool), make(map[identity]bool)
	if class.backend == genericBackend {
		for _, t := range stored {
			tokens = append(tokens, addition{t, "tokenizer.json"})
			there[t.Content] = true
		}
	}
	slices.SortStableFunc(claimed, func(a, b claimedToken) int { return cmp.Compare(a.id, b.id) })
	add := func(t token, id int, file string) {
		seen[t.identity()] = true
		t.Special = t.Special || special.isNamed(t.Content)
		config := t.config()
		config.Id = int64(id)
		tokens = append(tokens, addition{config, file})
	}
	for i, c := range claimed {
		if i+1 < len(claimed) && claimed[i+1].id == c.id {
			continue // the later one has its place
		}
		there[c.Content] = true
		add(c.token, c.id, c.file)
	}
	for _, t := range special.named {
		if !there[t.Content] && !seen[t.identity()] {
			add(t.token, noID, "")
		}
	}
	for _, t := range special.extra {
		if !there[t.Content] && !seen[t.identity()] {
			add(t, noID, "")
		}
	}
	return special, tokens
}

// knownSpecial is what transformers knows of the special tokens when it reads added_tokens.json.
type knownSpecial struct {
	given    map[string]bool // names that stand in the settings
	contents map[string]bool // as far as it sees them: those with properties in tokenizer_config.json it does not
}

func (k *knownSpecial) see(t token, legacy bool) {
	if t.plain || legacy {
		k.contents[t.Content] = true
	}
}

func (s *settings) specialTokens(defaults map[string]string) (special namedTokens, known knownSpecial) {
	known = knownSpecial{make(map[string]bool), make(map[string]bool)}
	own, extra := s.ownTokens(&known)
	for _, name := range specialNames {
		o, given := s.holder(name)
		raw := o.take(name)
		switch content, ok := defaults[name]; {
		case raw != nil:
			t := s.token(o, name, raw)
			known.see(t, o == s.legacy)
			known.given[name] = true
			special.named = append(special.named, namedToken{name, t})
		case !given && ok:
			special.named = append(special.named, namedToken{name, plainToken(content)})
		}
	}
	special.named = append(special.named, own...)
	special.extra = extra
	return special, known
}

// ownTokens reads the tokens of the model's own: fields that end in _token, extra_special_tokens, which is a list or has
// names, and its former name additional_special_tokens.
func (s *settings) ownTokens(known *knownSpecial) (named []namedToken, extra []token) {
	const field, former = "extra_special_tokens", "additional_special_tokens"
	_, given := s.config.fields[field]
	_, formerGiven := s.config.fields[former]
	list, old := s.config.take(field), s.config.take(former)
	name := field
	if formerGiven && (list == nil || isNothing(list)) {
		list, given, old, formerGiven, name = old, true, nil, false, former
	}
	named, byName := s.fieldTokens()
	add := func(more []namedToken) {
		for _, t := range more {
			if slices.Contains(specialNames, t.name) {
				s.config.fail(field, "%s is a field of its own", t.name)
			}
			byName = setNamed(byName, t)
		}
	}
	if rawjson.Kind(list) == "object" {
		add(s.tokenMap(s.config, name, list))
		list, given = nil, false
	}
	extra = s.tokenList(s.config, name, list)
	if _, ok := s.legacy.fields[field]; ok {
		switch more := s.legacy.take(field); rawjson.Kind(more) {
		case "object":
			add(s.tokenMap(s.legacy, field, more))
			extra, given = nil, false
		case "array":
			extra, given = append(extra, s.tokenList(s.legacy, field, more)...), true
		default:
			s.legacy.failWith(field, s.wantNothing(more))
			extra, given = nil, true
		}
	}
	for _, t := range extra {
		known.see(t, t.Type == "")
	}
	holder := source{configFile, s.config}
	if _, ok := s.legacy.fields[former]; ok {
		holder = source{legacyFile, s.legacy}
		old, formerGiven = holder.take(former), true
	}
	switch {
	case formerGiven && !given:
		extra = s.tokenList(holder.object, former, old)
	case old != nil && !isNothing(old):
		s.note("%s: %s %s is not used: %s goes before it", holder.file, former, excerpt(old), field)
	}
	for _, t := range byName {
		named = setNamed(named, t)
	}
	return named, extra
}

// wantNothing is an error about a value that asks for something.
func (s *settings) wantNothing(raw jsontext.Value) error {
	if raw == nil {
		return nil
	}
	return &rawjson.KindError{Got: rawjson.Kind(raw), Want: "array"}
}

// setNamed replaces the token of a name, in its place, or appends it.
func setNamed(tokens []namedToken, t namedToken) []namedToken {
	if i := slices.IndexFunc(tokens, func(other namedToken) bool { return other.name == t.name }); i >= 0 {
		tokens[i] = t
		return tokens
	}
	return append(tokens, t)
}

// fieldTokens reads fields that end in _token. Those that tokenizer_config.json writes as text come after the others, and
// go before them.
func (s *settings) fieldTokens() (first, last []namedToken) {
	for _, o := range []*object{s.config, s.legacy} {
		for _, name := range o.names {
			raw := o.fields[name]
			if !isTokenName(name) || slices.Contains(specialNames, name) {
				continue
			}
			switch kind := rawjson.Kind(raw); {
			case o == s.config && kind == "string":
				last = append(last, namedToken{name, s.token(o, name, o.take(name))})
			case kind == "string", kind == "object":
				t := s.token(o, name, raw)
				if o == s.config && t.Type != "AddedToken" {
					continue // no token to transformers
				}
				o.ignore(name)
				first = setNamed(first, namedToken{name, t})
			}
		}
	}
	return first, last
}

// claimedTokens reads tokens that files give with their ids: tokenizer_config.json's added_tokens_decoder, or else
// added_tokens.json and what tokenizer.json has stored.
func (s *settings) claimedTokens(known knownSpecial, stored []sugarme.TokenConfig) (claimed []claimedToken) {
	const field = "added_tokens_decoder"
	claim := func(o source, key string, id int, t token) error {
		if len(claimed) == maxAddedTokens {
			o.fail(key, "more than %d tokens", maxAddedTokens)
		}
		o.checkID(key, t.Content, id)
		claimed = append(claimed, claimedToken{t, id, o.file})
		return o.err
	}
	if raw, ok := s.config.fields[field]; ok {
		s.config.ignore(field)
		s.config.failWith(field, rawjson.Members(raw, func(key string, raw []byte) error {
			id, err := strconv.Atoi(key)
			if err != nil {
				return s.config.fail(field, "%q is not an id", key)
			}
			if kind := rawjson.Kind(raw); kind != "object" {
				return s.config.fail(field+"."+key, "%s where an object belongs", kind)
			}
			return claim(source{configFile, s.config}, field, id, s.token(s.config, field+"."+key, raw))
		}))
		return claimed
	}
	if raw, ok := s.added.fields[""]; ok {
		s.added.failWith("", rawjson.Members(raw, func(content string, raw []byte) error {
			id, err := strconv.Atoi(string(raw))
			if err != nil {
				s.added.decode("", raw, &id) // for its error
			}
			special := known.contents[content]
			normalized := !special
			return claim(source{addedFile, s.added}, "", id, token{Content: content, Special: special, Normalized: &normalized})
		}))
	}
	for _, t := range stored {
		claimed = append(claimed, claimedToken{storedToken(t), int(t.Id), "tokenizer.json"})
	}
	return claimed
}
