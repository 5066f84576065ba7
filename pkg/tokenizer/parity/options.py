"""Folders over combinations of the options that decide token ids, and what transformers makes of them.

Each option stands alone, with each other one, and in random handfuls, in tokenizer_config.json, special_tokens_map.json,
added_tokens.json and config.json, beside tokenizer.json and beside the vocabulary files. What this package refuses is counted
by its reason; what it makes without an error has to be what transformers makes.
"""
import collections
import itertools
import json
import os
import random
import re
import subprocess
import sys

LENGTHS = (512, 9)
TEXTS = [
    "a [unused5] b", "Hello Wörld", "HELLO wörld héllo 一二 x一y", "a  [MASK]  b [mask] [SEP][CLS] [PAD] [UNK]", "new NEW néw newer anew  new  b",
    "<mask> a  <mask>  b <s></s> <pad> <unk> cat", " a b", "a cat  cats cat's", "zz qq <ent> <ENT>x <ent>", "h" * 120 + " a " + "b" * 6, "b [X] (unused5) ##b B",
]
PAIRS = [(t,) for t in TEXTS] + [(t, TEXTS[(i * 4 + 3) % len(TEXTS)]) for i, t in enumerate(TEXTS)]


def typed(content, **properties):
    return {"__type": "AddedToken", "content": content, **properties}


def word_piece():
    words = "[PAD] [unused5] [UNK] [CLS] [SEP] [MASK] a b hello world Hello w x y h ##h ##o ##ö ##rld wo cat cats ##s 一 二 new ##er zz [ ] ' s mask".split()
    words += ["w\u00f6rld", "##b", "##b##b", "h\u00e9llo", "HELLO", "B", "(", ")", "unused", "##5", "5", "X"]
    vocab = {w: i for i, w in enumerate(dict.fromkeys(words))}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [stored(vocab[w], w) for w in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", vocab["[SEP]"]], "cls": ["[CLS]", vocab["[CLS]"]]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab,
        },
    }


def byte_level():
    spelled = [chr(b) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174 else None for b in range(256)]
    extra = itertools.count(256)
    spelled = [c or chr(next(extra)) for c in spelled]
    merges = ["c a", "ca t", "Ġ a", "Ġ b", "n e", "ne w", "Ġ new", "Ġ cat"]
    words = ["<s>", "<pad>", "</s>", "<unk>", "[unused5]", "zz", *spelled, *(m.replace(" ", "") for m in merges), "<mask>"]
    vocab = {w: i for i, w in enumerate(dict.fromkeys(words))}
    specials = [stored(vocab[w], w, normalized=w != "<mask>", lstrip=w == "<mask>") for w in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": specials, "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": {
            "type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": False,
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": False,
            "vocab": vocab, "merges": merges,
        },
    }


def stored(token, content, **flags):
    base = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": token, "content": content, **base, **flags}


def folders():
    """Yields the kinds of folders, each a name and its files."""
    piece, level = word_piece(), byte_level()
    txt = "\n".join(piece["model"]["vocab"]) + "\n"
    level_files = {"vocab.json": level["model"]["vocab"], "merges.txt": "#version: 0.2\n" + "\n".join(level["model"]["merges"]) + "\n"}
    size = len(piece["model"]["vocab"])
    cased = json.loads(json.dumps(piece))
    cased["normalizer"]["lowercase"] = False
    cased["truncation"] = {"direction": "Left", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    cased["padding"] = {
        "strategy": "BatchLongest", "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
    }
    cased["post_processor"] = None
    cased["added_tokens"] += [stored(size, "<ent>", normalized=True, special=False), stored(size + 1, "qq", lstrip=True)]
    cased["added_tokens"] += [stored(piece["model"]["vocab"]["new"], "new", single_word=True, special=False)]
    prefix = json.loads(json.dumps(level))
    prefix["pre_tokenizer"]["add_prefix_space"] = True
    prefix["model"].update(unk_token="<unk>", fuse_unk=True, ignore_merges=True)
    yield "bert vocab.txt", "bert", {"vocab.txt": txt}
    yield "bert tokenizer.json", "bert", {"tokenizer.json": piece, "vocab.txt": txt}
    yield "bert another tokenizer.json", "bert", {"tokenizer.json": cased}
    yield "roberta vocab.json", "roberta", level_files
    yield "roberta tokenizer.json", "roberta", {"tokenizer.json": level, **level_files}
    yield "roberta another tokenizer.json", "roberta", {"tokenizer.json": prefix}


CONFIG, SPECIAL, ADDED, MODEL = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "config.json"


def options(kind, size):
    """Yields options: a file, a key and a value."""
    bert = kind == "bert"
    mask, cls, unk, pad = ("[MASK]", "[CLS]", "[UNK]", "[PAD]") if bert else ("<mask>", "<s>", "<unk>", "<pad>")
    for key, values in {
        "do_lower_case": [True, False, None], "strip_accents": [True, False, None], "tokenize_chinese_chars": [True, False],
        "add_prefix_space": [True, False], "do_basic_tokenize": [False], "never_split": [["cat"]], "model_max_length": [5],
        "truncation_side": ["left", "right"], "padding_side": ["left"], "split_special_tokens": [True], "trim_offsets": [False],
        "model_input_names": [["input_ids", "attention_mask"], ["input_ids", "token_type_ids"], []],
        "tokenizer_class": ["BertTokenizerFast", "RobertaTokenizer", "PreTrainedTokenizerFast", "DistilBertTokenizer", "XLMRobertaTokenizer", ""],
        "additional_special_tokens": [["[unused5]"], ["zz", typed("<ent>", lstrip=True, special=True)], [], None],
        "extra_special_tokens": [["cat"], [typed(mask, rstrip=True), mask], {"ent_token": "<ent>", "q": typed("qq")}, [], {}, None],
        "mask_token": [mask, "zz", "<ent>", "", None, typed(mask, lstrip=True), typed("cat", normalized=True), typed("new", single_word=True)],
        "cls_token": ["a", typed(cls, rstrip=True, special=True), None], "sep_token": ["b"], "unk_token": [pad, "qq", None, typed(unk)],
        "pad_token": [unk, "<ent>", None], "bos_token": ["cat", None], "eos_token": ["zz"], "ent_token": ["<ent>", typed("zz"), {"content": "zz"}, True, None],
        "add_bos_token": [True], "chat_template": ["x"], "auto_map": [{"AutoTokenizer": ["a.B", None]}], "fast_tokenizer_files": [["tokenizer.json"]],
        "added_tokens_decoder": [
            {}, {str(size): {"content": "<ent>", "special": True}}, {"5": {"content": "zz"}} if not bert else {"5": {"content": mask, "lstrip": True}},
            {str(size + 1): {"content": "new", "single_word": True, "normalized": False}, str(size): {"content": "NEW"}},
            {"1": {"content": "[unused5]" if bert else pad, "special": True, "rstrip": True}, "77": {"content": "qq"}},
        ],
    }.items():
        for value in values:
            yield CONFIG, key, value
    for key, values in {
        "mask_token": [mask, "zz", {"content": mask, "lstrip": True, "normalized": False}, {"content": "<ent>", "rstrip": True}],
        "cls_token": [{"content": cls, "normalized": True}], "additional_special_tokens": [["[unused5]"], [], ["<ent>", "qq"]],
        "extra_special_tokens": [["cat", {"content": "<ent>", "lstrip": True}], {"q": "qq"}], "ent_token": ["qq", {"content": "<ent>"}],
        "do_lower_case": [False], "add_prefix_space": [True],
    }.items():
        for value in values:
            yield SPECIAL, key, value
    for value in ({}, {"<ent>": size}, {"new": size, "qq": size + 1}, {mask: 5 if bert else size - 1}, {"[unused5]": 1 if bert else 4}, {"qq": 999}):
        yield ADDED, None, value
    for key, value in (("tokenizer_class", "BertTokenizer"), ("tokenizer_class", "PreTrainedTokenizerFast"), ("model_type", "")):
        yield MODEL, key, value


def combinations(kind, size, handfuls):
    """Yields lists of options, no two of which have one place."""
    every = list(options(kind, size))
    place = lambda option: option[:2]  # noqa: E731
    yield []
    for option in every:
        yield [option]
    for pair in itertools.combinations(every, 2):
        if place(pair[0]) != place(pair[1]):
            yield list(pair)
    draw = random.Random(12)
    for _ in range(handfuls):
        hand = {place(o): o for o in draw.sample(every, draw.randint(3, 7))}
        yield list(hand.values())


def write(folder, kind, files, chosen):
    files = dict(files)
    files[MODEL] = {"model_type": kind}
    for file, key, value in chosen:
        if key is None:
            files[file] = value
        else:
            files[file] = {**files.get(file, {}), key: value}
    os.makedirs(folder)
    for name, content in files.items():
        with open(os.path.join(folder, name), "w") as file:
            file.write(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False))


def reference(folder):
    """What AutoTokenizer makes of the folder: ids and types for each text at each length, or the error."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        rows = []
        for length in LENGTHS:
            for texts in PAIRS:
                encoded = tokenizer(*texts, truncation=True, max_length=length)
                ids = encoded["input_ids"]
                rows.append([ids, encoded.get("token_type_ids", [0] * len(ids))])
        return rows, None
    except Exception as error:  # noqa: BLE001: transformers raises whatever comes
        return None, f"{type(error).__name__}: {error}".split("\n")[0]


def reason(message):
    """An error without what differs from folder to folder."""
    message = re.sub(r"/\S*/", "", message)
    return re.sub(r'"[^"]*"|\d+|\'[^\']*\'', "…", message)[:110]


def compare(binary, scratch, handfuls, shown=5):
    """Returns how many folders give other ids than transformers, without an error."""
    from transformers.utils import logging

    logging.set_verbosity(logging.CRITICAL + 1)
    logging.disable_progress_bar()
    sys.stdin = open(os.devnull)  # transformers asks before it runs the code that an auto_map names
    differences = count = 0
    for number, (name, kind, files) in enumerate(folders()):
        vocab = files["tokenizer.json"]["model"]["vocab"] if "tokenizer.json" in files else files.get("vocab.json") or files["vocab.txt"].split()
        outcomes, reasons = collections.Counter(), collections.Counter()
        cases = list(combinations(kind, len(vocab), handfuls))
        paths = [os.path.join(scratch, f"{number}-{i}") for i in range(len(cases))]
        for path, chosen in zip(paths, cases, strict=True):
            write(path, kind, files, chosen)
        request = {"folders": paths, "lengths": LENGTHS, "texts": PAIRS}
        answer = subprocess.run([binary, "-options"], input=json.dumps(request), check=True, capture_output=True, text=True).stdout
        for path, chosen, line in zip(paths, cases, answer.splitlines(), strict=True):
            ours = json.loads(line)
            theirs, error = reference(path)
            if ours.get("error"):
                outcomes["refused by both" if error else "refused here only"] += 1
                if not error:
                    reasons["refused here only: " + reason(ours["error"])] += 1
            elif error:
                outcomes["refused by transformers only"] += 1
                reasons["refused by transformers only: " + reason(error)] += 1
            elif ours["rows"] == theirs:
                outcomes["equal"] += 1
            else:
                outcomes["DIFFERENT"] += 1
                if outcomes["DIFFERENT"] <= shown:
                    at = next(i for i, (a, b) in enumerate(zip(ours["rows"], theirs, strict=True)) if a != b)
                    print(f"  {name} with {chosen}\n    {PAIRS[at % len(PAIRS)]!r:.200}\n    expected {theirs[at]}\n    got      {ours['rows'][at]}")
        print(f"{name}: {len(cases)} folders: " + ", ".join(f"{n} {what}" for what, n in outcomes.most_common()), flush=True)
        for what, n in reasons.most_common():
            print(f"  {n:5} {what}")
        differences += outcomes["DIFFERENT"]
        count += len(cases)
    print(f"options: {count} folders, {differences} differences", flush=True)
    return differences
