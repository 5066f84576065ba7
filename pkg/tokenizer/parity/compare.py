#!/usr/bin/env python3
"""Compares this package with Hugging Face's tokenizers on every row of TSV files and on hard Unicode.

    python pkg/tokenizer/parity/compare.py --tokenizer DIR [--tokenizer DIR ...] FILE.tsv ...

Needs PyPI's tokenizers and transformers, and Go. Each row is encoded whole, and as a pair of its two longest columns, at
maximum lengths 32, 128 and 512. A tokenizer is loaded as its folder has it: from tokenizer.json, and from vocab.txt, or
vocab.json and merges.txt, with the settings beside them; the reference is what transformers' AutoTokenizer makes of the same
files. Prints the inputs that differ and both times, of one thread and row by row. Then it compares small tokenizers over
combinations of settings: options.py.
"""
import argparse
import array
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"
import options  # noqa: E402

MAX_LENGTHS = (32, 128, 512)

# The files that transformers makes a tokenizer of where there is no tokenizer.json.
VOCABULARIES = (("vocab.txt",), ("vocab.json", "merges.txt"))
CONFIGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "config.json")


def rows(path):
    with open(path, "rb") as file:
        lines = file.read().split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    for line in lines:
        line = line.removesuffix(b"\r")
        yield (line.decode("utf-8", "replace"),)
        columns = line.split(b"\t")
        if len(columns) > 1:
            columns.sort(key=len, reverse=True)
            yield tuple(c.decode("utf-8", "replace") for c in columns[:2])


def hard_texts():
    """What files from outside may hold, as bytes: some of it is no UTF-8."""
    texts = [
        "", " ", "\n", "\r\n", "\t \u00a0\u2003\u3000",
        "café cafe\u0301 CAFÉ Ångström ñandú \u1e9b\u0323 ﬁ Ⅷ ½ İstanbul ıŞ ẞß ΣΑΣ ǅ",
        "\u0301 starts with a mark", "a" + "\u0301" * 300 + "b", "\u0e01\u0e33 \u0915\u094d\u0937\u093f \u0627\u0644\u0644\u0651\u064e",
        "一二三漢字 mixed漢字text かなカナ ｶﾅ 한국어 \u1112\u1161\u11ab \U0002b820 \uf900",
        "👩‍👩‍👧‍👦 👍🏽 ❤️ 🇩🇪 🏴󠁧󠁢󠁥󠁮󠁧󠁿 👩🏾‍🚀‍", "😀" * 100,
        "control \x01\x02\x07\x08\x0b\x0c\x0e\x1b\x7f\x80\x85\x9f end", "nul\x00in\x00side", "\x00",
        "zero\u200bwidth\u200d \ufeffmark soft\u00adhyphen \u2060 \u202eright to left\u202c \ufffd \ufffe \U0010ffff \ue000",
        "one\r\ntwo\rthree\nfour\u2028five\u2029six\x0bseven\x0ceight", "\r", "tail \r\n", "  two  spaces   three ",
        "it's they're I'VE ''s don't 'S", "2000 10,000 3.14 ٣ ² baaaaaaad ahhhhh hahahaha",
        "[CLS] [SEP] [MASK] [UNK] [PAD] <s> </s> <mask> <pad> <unk> [mask]x[MASK]y<mask> z",
        "http://x.y/?q=1&r=%20#f e.g. U.S.A. (a)[b]{c} «q» … — ''`` ~^|\\",
        "word" * 1000, "x " * 20_000, "un\U0001e900known \U00016ea0 \ua7cb \u1c89",
    ]
    yield from (text.encode() for text in texts)
    yield b"a" * 1_000_000
    yield "é".encode() * 500_000
    yield from (
        b"\xff", b"a\xffb\xfe", b"\x80\xbf", b"\xc0\xaf overlong \xe0\x80\xaf", b"surrogate \xed\xa0\x80\xed\xb0\x80", b"cut \xe4\xb8",
        b"cut \xf0\x9f\x98", b"\xf4\x90\x80\x80 beyond", b"caf\xe9 latin-1", b"\xe4\xb8\xe4\xb8\x80", b"\xf0\x9f\x98\xf0\x9f\x98\x80", b"\xef\xbb\xbfbom",
    )


def hard_inputs(path):
    """Writes the hard texts, each after its length, and returns them as the reference's inputs."""
    texts = list(hard_texts())
    with open(path, "wb") as file:
        for text in texts:
            file.write(struct.pack("<i", len(text)) + text)
    return [(text.decode("utf-8", "replace"),) for text in texts]


def forms(folder, scratch):
    """Yields what to call a form of the tokenizer, the folder to load it from, and the reference."""
    from transformers import AutoTokenizer

    if os.path.exists(os.path.join(folder, "tokenizer.json")):
        yield folder, folder, AutoTokenizer.from_pretrained(folder)
    for names in VOCABULARIES:
        if all(os.path.exists(os.path.join(folder, name)) for name in names):
            copy = os.path.join(scratch, names[0])
            os.makedirs(copy)
            for name in names + CONFIGS:
                if os.path.exists(os.path.join(folder, name)):
                    shutil.copy(os.path.join(folder, name), copy)
            yield f"{folder} ({' and '.join(names)})", copy, AutoTokenizer.from_pretrained(copy)


def compare(name, folder, tokenizer, binary, scratch, inputs, paths, shown):
    reference, typed = tokenizer.backend_tokenizer, "token_type_ids" in tokenizer.model_input_names
    reference.no_padding()
    output = os.path.join(scratch, "ids")
    printed = subprocess.run([binary, folder, output, *paths], check=True, capture_output=True, text=True).stdout
    times = [[float(t) for t in line.split()] for line in printed.splitlines()]
    ours = array.array("i")
    with open(output, "rb") as file:
        ours.frombytes(file.read())

    total = at = 0
    for max_length, (one_thread, all_cores) in zip(MAX_LENGTHS, times, strict=True):
        reference.enable_truncation(max_length)
        differences = 0
        elapsed = 0.0
        for row in inputs:
            start = time.perf_counter()
            encoding = reference.encode(*row)
            elapsed += time.perf_counter() - start
            n = ours[at]
            ids, types = ours[at + 1 : at + 1 + n].tolist(), ours[at + 1 + n : at + 1 + 2 * n].tolist()
            at += 1 + 2 * n
            if ids != encoding.ids or types != (encoding.type_ids if typed else [0] * n):
                differences += 1
                if differences <= shown:
                    print(f"  {repr(row)[:300]}\n    expected {encoding.ids}\n    got      {ids}")
        total += differences
        print(
            f"{name} max_length {max_length}: {len(inputs)} inputs, {differences} differences; one thread "
            f"{one_thread:.2f} s (reference {elapsed:.2f} s), all cores {all_cores:.2f} s",
            flush=True,
        )
    if at != len(ours):
        sys.exit("the two sides read different rows")
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", action="append", default=[], help="folder of a tokenizer")
    parser.add_argument("--shown", type=int, default=3, help="differences to print")
    parser.add_argument("--handfuls", type=int, default=1000, help="random combinations of options for each kind of folder")
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_args()
    total = compared = 0
    with tempfile.TemporaryDirectory() as scratch:
        binary, hard = os.path.join(scratch, "parity"), os.path.join(scratch, "hard.texts")
        package = os.path.dirname(os.path.abspath(__file__))
        subprocess.run(["go", "build", "-o", binary, "."], cwd=package, env={**os.environ, "GOWORK": "off"}, check=True)
        inputs = hard_inputs(hard) + [row for path in arguments.files for row in rows(path)]
        for number, folder in enumerate(arguments.tokenizer):
            for form in forms(folder, os.path.join(scratch, str(number))):
                total += compare(*form, binary, scratch, inputs, [hard, *arguments.files], arguments.shown)
                compared += 1
        total += options.compare(binary, scratch, arguments.handfuls, arguments.shown)
    print(f"{compared} tokenizers and the options, {total} differences")
    sys.exit(total != 0)


if __name__ == "__main__":
    main()
