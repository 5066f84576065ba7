#!/usr/bin/env python3
"""Makes the tables and pictures of README.md of the committed records: page.py [--check]

Each table stands between <!-- name --> and <!-- /name -->; --check only says whether README.md is what the records make."""

import re
import sys

import claims
import figures
import tables
from records import HERE


def main():
    path = HERE / "README.md"
    text = path.read_text()
    made = tables.all_tables() | {"claims": claims.claims()}
    marked = re.findall(r"<!-- /([a-z0-9-]+) -->", text)
    for name in sorted(set(marked) ^ set(made)):
        sys.exit(f"{path}: {name} " + ("is marked, but no such table is made" if name in marked else "is made, but README.md has no place for it"))
    for name, table in made.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text, count = pattern.subn(lambda m: m[1] + table.strip() + "\n" + m[2], text)
        if count != 1:
            sys.exit(f"{path}: {name} is marked {count} times")
    if "--check" in sys.argv[1:]:
        if text != path.read_text():
            sys.exit(f"{path} is not what the records make: page.py makes it")
        return
    path.write_text(text)
    figures.draw_all()


if __name__ == "__main__":
    main()
