#!/usr/bin/env python3
"""Compares this package with Hugging Face's tokenizers on every row of TSV files.

    python pkg/tokenizer/parity/compare.py --tokenizer DIR [--tokenizer DIR ...] FILE.tsv ...

Needs PyPI's tokenizers and Go. Each row is encoded whole, and as a pair of its two longest columns, at maximum lengths 32,
128 and 512. Prints the rows that differ and both times, of one thread and row by row.
"""
import argparse
import array
import os
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Tokenizer  # noqa: E402

MAX_LENGTHS = (32, 128, 512)


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


def compare(folder, paths, shown):
    inputs = [row for path in paths for row in rows(path)]
    reference = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    reference.no_padding()
    with tempfile.TemporaryDirectory() as scratch:
        output = os.path.join(scratch, "ids")
        package = os.path.dirname(os.path.abspath(__file__))
        binary = os.path.join(scratch, "parity")
        subprocess.run(["go", "build", "-o", binary, "."], cwd=package, env={**os.environ, "GOWORK": "off"}, check=True)
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
            if ids != encoding.ids or types != encoding.type_ids:
                differences += 1
                if differences <= shown:
                    print(f"  {row!r}\n    expected {encoding.ids}\n    got      {ids}")
        total += differences
        print(
            f"{folder} max_length {max_length}: {len(inputs)} inputs, {differences} differences; one thread "
            f"{one_thread:.2f} s (reference {elapsed:.2f} s), all cores {all_cores:.2f} s",
            flush=True,
        )
    if at != len(ours):
        sys.exit("the two sides read different rows")
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", action="append", required=True, help="folder with a tokenizer.json")
    parser.add_argument("--shown", type=int, default=3, help="differences to print")
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    total = sum(compare(folder, arguments.files, arguments.shown) for folder in arguments.tokenizer)
    print(f"{total} differences")
    sys.exit(total != 0)


if __name__ == "__main__":
    main()
