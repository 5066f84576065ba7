"""Write the Parquet files of the Go tests, by pyarrow as the Hugging Face hub's library
does, and what is in them.

    python parity/parquet_fixtures.py pkg/parquet/testdata
"""

import datetime
import decimal
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

WORDS = "the a red blue small old ship cat river stone bell king sees finds sells holds likes never often 語 é".split()


def sentence(i):
    return " ".join(WORDS[(i * k + k) % len(WORDS)] for k in range(1, 2 + i % 6))


def hub(rows):
    """A data set with classes, and columns beside those that are read."""
    features = {
        "sentence": {"dtype": "string", "_type": "Value"}, "other": {"dtype": "large_string", "_type": "Value"},
        "label": {"names": ["not_equivalent", "equivalent"], "_type": "ClassLabel"}, "idx": {"dtype": "int32", "_type": "Value"},
        "words": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"},
    }
    return pa.table({
        "idx": pa.array(range(rows), pa.int32()),
        "words": pa.array([[None, sentence(i)][: i % 3] if i % 4 else None for i in range(rows)], pa.list_(pa.string())),
        "sentence": pa.array([sentence(i) for i in range(rows)], pa.string()),
        "about": pa.array([{"source": sentence(i), "at": [i]} for i in range(rows)], pa.struct([("source", pa.string()), ("at", pa.list_(pa.int16()))])),
        "other": pa.array([sentence(3 * i + 1) for i in range(rows)], pa.large_string()),
        "label": pa.array([i * 7 % 3 % 2 for i in range(rows)], pa.int64()),
    }).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def kinds(rows):
    """A column of each sort, with and without nulls."""
    values = {
        "text": (pa.string(), sentence), "large": (pa.large_string(), lambda i: sentence(i) * 3), "bytes": (pa.binary(), lambda i: sentence(i).encode()),
        "category": (pa.dictionary(pa.int8(), pa.string()), lambda i: WORDS[i % 5]), "truth": (pa.bool_(), lambda i: i % 3 == 1), "single": (pa.float32(), lambda i: i / 8 - 2),
        "double": (pa.float64(), lambda i: i / 3), "same": (pa.string(), lambda i: "always this"),
    }
    for bits in 8, 16, 32, 64:
        values[f"int{bits}"] = getattr(pa, f"int{bits}")(), lambda i, bits=bits: (-1) ** i * (2 ** (bits - 1) - 1 - i % 100)
        values[f"uint{bits}"] = getattr(pa, f"uint{bits}")(), lambda i, bits=bits: 2**bits - 1 - i % 100
    columns, fields = [], []
    for name, (kind, value) in values.items():
        for optional in False, True:
            columns.append(pa.array([None if optional and i % 5 == 3 else value(i) for i in range(rows)], kind))
            fields.append(pa.field(name + ("?" if optional else ""), kind, nullable=optional))
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def others(rows):
    """What is neither text nor number nor boolean."""
    day = datetime.datetime(2024, 1, 2)
    return pa.table({
        "time": pa.array([day] * rows, pa.timestamp("us")), "date": pa.array([day.date()] * rows), "decimal": pa.array([decimal.Decimal("1.25")] * rows),
        "half": pa.array([0.5] * rows, pa.float16()), "fixed": pa.array([b"ab"] * rows, pa.binary(2)), "list": pa.array([["a"]] * rows),
        "struct": pa.array([{"a": 1}] * rows), "map": pa.array([[("a", 1)]] * rows, pa.map_(pa.string(), pa.int64())), "text": pa.array(["a"] * rows),
    })


def cell(value):
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        return value.decode()
    return str(value).removesuffix(".0")


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    delta = {"int32": "DELTA_BINARY_PACKED", "int64": "DELTA_BINARY_PACKED", "text": "DELTA_LENGTH_BYTE_ARRAY", "text?": "DELTA_LENGTH_BYTE_ARRAY",
             "int64?": "DELTA_BINARY_PACKED", "uint32?": "DELTA_BINARY_PACKED", "truth?": "RLE"}
    tables = {"hub": hub(120), "kinds": kinds(120)}
    files = {  # table, rows, options
        "hub": ("hub", 61, dict(row_group_size=17)),
        "pages": ("hub", 120, dict(compression="zstd", data_page_size=64, write_batch_size=8, dictionary_pagesize_limit=300, write_page_checksum=True)),
        "kinds": ("kinds", 40, dict(compression="none", row_group_size=23)),
        "kinds-plain": ("kinds", 40, dict(compression="gzip", use_dictionary=False, data_page_version="2.0")),
        "kinds-v2": ("kinds", 120, dict(compression="zstd", data_page_version="2.0", data_page_size=200, write_batch_size=16)),
        "kinds-delta": ("kinds", 120, dict(use_dictionary=False, column_encoding=delta)),
        "empty": ("hub", 0, {}),
    }
    for name, (table, rows, options) in files.items():
        pq.write_table(tables[table].slice(0, rows), folder / f"{name}.parquet", **options)
    expected = {name: {c: [cell(v) for v in table[c].to_pylist()] for c in table.column_names if c not in ("words", "about")} for name, table in tables.items()}
    expected["hub"]["label"] = [("not_equivalent", "equivalent")[int(v)] for v in expected["hub"]["label"]]
    pq.write_table(others(2), folder / "others.parquet")
    for codec in "brotli", "lz4":
        pq.write_table(hub(3), folder / f"{codec}.parquet", compression=codec)
    pq.write_table(pa.table({"text": ["a"] * 40}), folder / "suffixes.parquet", use_dictionary=False, column_encoding={"text": "DELTA_BYTE_ARRAY"})
    described = {"tables": expected, "files": {name: {"table": table, "rows": rows} for name, (table, rows, _) in files.items()}}
    (folder / "expected.json").write_text(json.dumps(described, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
