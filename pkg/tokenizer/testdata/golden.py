#!/usr/bin/env python3
"""Makes the tokenizers of this folder and what Hugging Face's tokenizers answers with them. Needs tokenizers 0.23:

    python pkg/tokenizer/testdata/golden.py
"""
import copy
import hashlib
import json
import os

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

HERE = os.path.dirname(os.path.abspath(__file__))
LETTERS = "abcdefghijklmnopqrstuvwxyz"

TEXTS = [
    "",
    " ",
    "the cat sat",
    "The CAT sat, unaffable & unaware!",
    "  two  spaces\tand a tab  ",
    "line one\r\nline two\rline three\n",
    "nul\x00inside and \x01\x07 bells, form\x0cfeed, next\x85line",
    "Élan, café, cafe\u0301, señor, Å\u212b, ﬁn",
    "\u0301leading mark, a\u0323\u0307 and a\u0307\u0323 ordered, \u0344 \u1e9b\u0323",
    "a" + "\u0301" * 40 + "b",
    "İstanbul ısı DIŞ ẞ ΣΑΣ ǅ \u2126 \u212a",
    "\u1c89 \ua7cb \U00010d50 \U00016ea0 lower cases of many ages",
    "一二三 and 豈更 漢字kanji かな \u2b820\U0002b820\U0002b920",
    "한국어 \u1112\u1161\u11ab 각",
    "family \U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 flag \U0001f1e9\U0001f1ea tone \U0001f44d\U0001f3fd heart \u2764\ufe0f",
    "zero\u200bwidth \ufeffbom soft\u00adhyphen word\u2060joiner \ufffd private \ue000 \U000f0000",
    "nb\u00a0space thin\u2009space ideo\u3000space ogham\u1680space line\u2028sep par\u2029sep mvs\u180esep",
    "it's they're I've we'll he'd I'm don't 'sx 'S ''s '' x's",
    "2000 10,000 3.14 ½ ² Ⅷ ٣ 1a2b",
    "baaaaaaaaad ahhhh aaaa aa aaa hahaha",
    "punct: «¿¡» \u2014 \u2026 \u3001\u3002 $+<=>^`|~ \u2052 \u00a7 \u166d \U00012470",
    "[CLS] in text [MASK]  and [mask] x[SEP]y [UNK][PAD]",
    "<s> in text <mask>  and </s> x<pad>y",
    "before  <added>  after <added> <added>x wordy word sword word_ wordé <word>",
    "Norm NORM norm nörm no\u0301rm",
    "un\U0001e900known \u0531 \u10a0 \u13a0",
    "x" * 30,
    "qqqqqqqqq zzz jjjjjjj jklm jkl",
    "tail space ",
    " \n lead",
    "a  \n\n b \t c",
    "\u0e01\u0e33 \u0915\u094d\u0937\u093f \u0627\u0644\u0644\u0651\u064e",
]


def added(token, content, **flags):
    base = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": token, "content": content, **base, **flags}


def word_piece():
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words += list(LETTERS) + list("0123456789") + list("[]<>/,.!&'-$_")
    words += ["##" + c for c in LETTERS + "0123456789"]
    words += "the cat sat un ##aff ##able ##aw ##are word sword space norm two and in text é É caf ##é 一 漢 字 ş ##ß ß σ ##ς i ##̇".split()
    words += "\u1112\u1161\u11ab \u0301 a\u0323 \U0001f469 \U00010d70".split()
    vocab = {w: i for i, w in enumerate(dict.fromkeys(words))}
    specials = [added(i, w) for w, i in vocab.items() if w.startswith("[") and len(w) > 1]
    piece = lambda kind, name, type_id: {kind: {"id": name, "type_id": type_id}}  # noqa: E731
    cls, sep = piece("SpecialToken", "[CLS]", 0), piece("SpecialToken", "[SEP]", 0)
    return {
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0},
        "padding": {
            "strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
        },
        "added_tokens": specials,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [cls, piece("Sequence", "A", 0), sep],
            "pair": [cls, piece("Sequence", "A", 0), sep, piece("Sequence", "B", 1), piece("SpecialToken", "[SEP]", 1)],
            "special_tokens": {w: {"id": w, "ids": [vocab[w]], "tokens": [w]} for w in ("[CLS]", "[SEP]")},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab,
        },
    }


def byte_level():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = "a a|aa aa|aaaa a|Ġ t|h e|Ġt he|0 0|00 0|h a|ha ha|h h|h hh|Ġ c|a t|Ġc at|a d|b a|' s|Ã ©|i n|n g|in g|c a|k l|j k|kl m|j kl"
    pairs = [m.split(" ") for m in merges.split("|")]
    tokens = ["<s>", "<pad>", "</s>", "<unk>"] + alphabet + ["hh"] + ["".join(p) for p in pairs] + ["sat", "Ġword", "<mask>"]
    pairs = [p for p in pairs if "".join(p) != "hhh"] + [["h", "hh"]]
    vocab = {w: i for i, w in enumerate(dict.fromkeys(tokens))}
    specials = [added(i, w) for w, i in vocab.items() if w in ("<s>", "<pad>", "</s>", "<unk>")]
    specials.append(added(vocab["<mask>"], "<mask>", lstrip=True))
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": specials,
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        "post_processor": {
            "type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True,
            "add_prefix_space": False,
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "",
            "fuse_unk": False, "vocab": vocab, "merges": [" ".join(p) for p in pairs],
        },
    }


def variants():
    """Yields a name and, by JSON pointer, the fields that differ from the base tokenizer."""
    size = len(word_piece()["model"]["vocab"])
    yield "wordpiece", {}
    yield "wordpiece", {"normalizer/lowercase": False}
    yield "wordpiece", {"normalizer/strip_accents": False}
    yield "wordpiece", {"normalizer/lowercase": False, "normalizer/strip_accents": True}
    yield "wordpiece", {"normalizer/clean_text": False, "normalizer/handle_chinese_chars": False}
    yield "wordpiece", {"normalizer": None, "post_processor": None}
    yield "wordpiece", {
        "model/max_input_chars_per_word": 5,
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
    }
    yield "wordpiece", {
        "added_tokens": [
            added(4, "[MASK]", lstrip=True, rstrip=True),
            added(size, "<added>", lstrip=True, special=False),
            added(size + 1, "<added> ", rstrip=True),
            added(size + 2, "Norm", normalized=True, special=False),
            added(word_piece()["model"]["vocab"]["word"], "word", single_word=True, special=False),
            added(size + 3, "sp", single_word=True, normalized=True),
        ]
    }
    size = len(byte_level()["model"]["vocab"])
    vocab = byte_level()["model"]["vocab"]
    yield "bytelevel", {}
    yield "bytelevel", {
        "pre_tokenizer/add_prefix_space": True,
        "model/ignore_merges": True,
        "model/merges": [m.split(" ") for m in byte_level()["model"]["merges"]],
    }
    few = {w: i for w, i in vocab.items() if w not in ("q", "x", "Ã", "©", "Ã©", "Ġ", "Ġt", "Ġthe", "Ġc", "Ġcat")}
    merges = [m for m in byte_level()["model"]["merges"] if all(w in few for w in m.split(" ") + [m.replace(" ", "")])]
    for unk in ({}, {"model/unk_token": "<unk>"}, {"model/unk_token": "<unk>", "model/fuse_unk": True}):
        yield "bytelevel", {"model/vocab": few, "model/merges": merges, "added_tokens": [], **unk}
    yield "bytelevel", {
        "added_tokens": [
            added(0, "<s>", normalized=True),
            added(vocab["<mask>"], "<mask>", lstrip=True),
            added(size, "word", single_word=True, normalized=True),
            added(size + 1, "  ", rstrip=True, special=False),
        ]
    }


def build(base, fields):
    tokenizer = copy.deepcopy(base)
    for pointer, value in fields.items():
        *path, last = pointer.split("/")
        at = tokenizer
        for name in path:
            at = at[name]
        at[last] = value
    return tokenizer


def cases(tokenizer):
    reference = Tokenizer.from_str(json.dumps(tokenizer))
    reference.no_padding()
    for i, text in enumerate(TEXTS):
        pair = (i * 7 + 3) % len(TEXTS)
        for row, max_length in (((i,), 512), ((i, pair), (6, 13, 64, 512)[i % 4])):
            reference.enable_truncation(max_length)
            encoding = reference.encode(*(TEXTS[t] for t in row))
            yield {"texts": row, "max_length": max_length, "ids": encoding.ids, "type_ids": encoding.type_ids}


def unicode_digests():
    """Digests of what the reference makes of each code point, one for every 4096. See TestUnicode."""

    def bert(**options):
        off = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
        return normalizers.BertNormalizer(**{**off, **options}).normalize_str

    clean, spaced, strip, lower = (bert(**{o: True}) for o in ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"))
    nfd = normalizers.NFD().normalize_str
    bert_words, byte_words = pre_tokenizers.BertPreTokenizer(), pre_tokenizers.ByteLevel(add_prefix_space=False)
    words = Tokenizer(models.WordLevel({"u": 0}, unk_token="u"))
    words.add_tokens([AddedToken("x", single_word=True, normalized=False)])
    # One character of each canonical combining class that a nonspacing mark has, but for the 1 and 232 below.
    classes = "\u0334\u16ff0\u302e\u302a\u0316\u0327\u0345\u0321\u031b\u0315\u0300\u035c\u0360\u05b0\u05b1\u05b2\u05b3\u05b4\u05b5"
    classes += "\u05b6\u05b7\u05b8\u05b9\u05bb\u05bc\u05bd\u05bf\u05c1\u05c2\ufb1e\u064b\u064c\u064d\u064e\u064f\u0650\u0651\u0652"
    classes += "\u0670\u0711\u0c55\u0c56\u0e38\u0e48\u0eb8\u0ec8\u0f71\u0f72\u0f74\u093c\u3099\u094d\u302b\u1dfa"
    digests = []
    for start in range(0, 0x110000, 0x1000):
        digest = hashlib.sha256()
        for code in range(start, start + 0x1000):
            if 0xD800 <= code < 0xE000:
                continue
            c = chr(code)
            line = [f"{code:X}", clean(c), spaced(c), strip(c), lower(c) if c != "İ" else c, nfd(c)]
            line.append("/".join(w for w, _ in bert_words.pre_tokenize_str("a" + c + "b")))
            line += [str(len(byte_words.pre_tokenize_str(before + c))) for before in "a1!"]
            line.append(str(int("x" in words.encode("x" + c + " ").tokens)))
            marks = [nfd("\u0315" + c), nfd(c + "\u0334")]
            if marks != ["\u0315" + nfd(c), nfd(c) + "\u0334"]:
                marks += [nfd(m + c) for m in classes]
            digest.update(("|".join(line + marks) + "\n").encode())
        digests.append(digest.hexdigest()[:16])
    return digests


def main():
    bases = {"wordpiece": word_piece(), "bytelevel": byte_level()}
    for name, tokenizer in bases.items():
        os.makedirs(os.path.join(HERE, name), exist_ok=True)
        with open(os.path.join(HERE, name, "tokenizer.json"), "w") as file:
            json.dump(tokenizer, file, ensure_ascii=False, indent=1)
            file.write("\n")
    golden = [{"texts": TEXTS}]
    for base, fields in variants():
        golden.append({"base": base, "fields": fields, "cases": list(cases(build(bases[base], fields)))})
    dump("golden.json", golden)
    dump("unicode.json", unicode_digests())


def dump(name, items):
    """Writes a JSON file, an item a line."""
    with open(os.path.join(HERE, name), "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(i) for i in items) + "\n]\n")


if __name__ == "__main__":
    main()
