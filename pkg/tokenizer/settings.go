package tokenizer

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// settings are tokenizer_config.json and the files beside it that transformers 5 reads with it. Where a field stands in
// two of them, it takes that of special_tokens_map.json.
type settings struct {
	files
	config *object // tokenizer_config.json
	legacy *object // special_tokens_map.json; empty where tokenizer_config.json has an added_tokens_decoder, as the next
	added  *object // added_tokens.json, a map of tokens to ids that is the field ""
	notes  []string
}

// source is a file with settings.
type source struct {
	file string
	*object
}

func (s *settings) sources() []source {
	return []source{{configFile, s.config}, {legacyFile, s.legacy}, {addedFile, s.added}}
}

const configFile, legacyFile, addedFile = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"

// ignoredSettings change no ids. The sequences here are truncated where the caller says, and never padded.
var ignoredSettings = []string{
	"model_max_length", "max_len", "max_length", "stride", "truncation_strategy", "padding", "padding_side", "pad_to_multiple_of",
	"pad_token_type_id", "name_or_path", "special_tokens_map_file", "tokenizer_file", "vocab_file", "merges_file", "full_tokenizer_file",
	"processor_class", "feature_extractor_type", "image_processor_type", "backend", "files_loaded", "is_local", "local_files_only", "verbose",
	"chat_template", "chat_control_tokens", "response_template", "response_schema", "clean_up_tokenization_spaces",
	"clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", "errors", "trim_offsets", "add_bos_token", "add_eos_token",
	"transformers_version", "tokenizer_class", "device_map", "legacy", "use_fast", "from_slow", "_commit_hash",
}

// refusedSettings would take transformers to another vocabulary, or its code to another place.
var refusedSettings = []string{
	"vocab", "merges", "tokenizer_object", "gguf_file", "post_processor", "tokenizer_padding", "tokenizer_truncation", "_json_padding",
	"_json_truncation", "init_inputs", "fix_mistral_regex", "model_specific_special_tokens",
}

func (f files) settings() (*settings, error) {
	s := &settings{files: f, legacy: &object{}, added: &object{}}
	var err error
	if s.config, err = f.optional(configFile); err != nil {
		return nil, err
	}
	if _, ok := s.config.fields["added_tokens_decoder"]; ok {
		return s, nil
	}
	if s.legacy, err = f.optional(legacyFile); err != nil {
		return nil, err
	}
	data, err := f.read(addedFile)
	if err == nil {
		s.added.fields = map[string]jsontext.Value{"": []byte(data)}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return s, nil
}

// optional reads a file that holds an object, which has no fields where the file is not there.
func (f files) optional(name string) (*object, error) {
	data, err := f.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		data, err = "{}", nil
	}
	if err != nil {
		return nil, err
	}
	o, err := parseObject("", []byte(data))
	return o, f.named(name, err)
}

func (s *settings) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// holder is the object whose field counts, and given says that there is one, be it null.
func (s *settings) holder(name string) (o *object, given bool) {
	if _, ok := s.legacy.fields[name]; ok {
		s.config.ignore(name)
		return s.legacy, true
	}
	_, given = s.config.fields[name]
	return s.config, given
}

func (s *settings) fileOf(o *object) string {
	if o == s.legacy {
		return legacyFile
	}
	return configFile
}

// read decodes a field into value and says whether there was one that is not null.
func (s *settings) read(name string, value any) (set bool) {
	o, _ := s.holder(name)
	raw := o.take(name)
	if raw != nil {
		o.decode(name, raw, value)
	}
	return raw != nil
}

// err is the first error in a file.
func (s *settings) err() error {
	for _, source := range s.sources() {
		if source.err != nil {
			return s.named(source.file, source.err)
		}
	}
	return nil
}

// finish is for what nothing has read: some of it is harmless, some refused, and the rest the user has to see.
func (s *settings) finish(class tokenizerClass) error {
	var versions []string
	if s.read("fast_tokenizer_files", &versions); slices.ContainsFunc(versions, func(v string) bool { return v != "tokenizer.json" }) {
		s.config.fail("fast_tokenizer_files", "%.80q is not supported, only tokenizer.json", versions)
	}
	for _, source := range []source{{configFile, s.config}, {legacyFile, s.legacy}} {
		for _, name := range source.names {
			raw, unread := source.fields[name]
			switch {
			case !unread || slices.Contains(ignoredSettings, name) || isNothing(raw) && name != "do_basic_tokenize":
			case name == "do_basic_tokenize" && string(raw) == "true": // what every class does
			case slices.Contains(refusedSettings, name):
				source.fail(name, "%s is not supported", excerpt(raw))
			default:
				s.note("%s: %s %s is not used: transformers' %s has no such option", source.file, oneLine(name), excerpt(raw), class.name)
			}
		}
	}
	return s.err()
}

// isNothing says of a value that it asks for nothing.
func isNothing(raw jsontext.Value) bool {
	text := bytes.Join(bytes.Fields(raw), nil)
	return slices.Contains([]string{"null", "false", `""`, "[]", "{}"}, string(text))
}

// tokenTypes says whether the second text of a pair is of type 1.
func (s *settings) tokenTypes(class tokenizerClass) bool {
	var names []string
	if s.read("model_input_names", &names) {
		return slices.Contains(names, "token_type_ids")
	}
	return class.tokenTypes
}

// truncateLeft says whether truncation takes a text's first tokens, which tokenizer.json says where the settings do not.
func (s *settings) truncateLeft(stored string) bool {
	side := stored
	s.read("truncation_side", &side)
	if o, _ := s.holder("truncation_side"); side != "left" && side != "right" {
		o.fail("truncation_side", "%q is neither left nor right", side)
	}
	return side == "left"
}
