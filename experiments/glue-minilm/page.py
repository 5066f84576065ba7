#!/usr/bin/env python3
"""Makes the tables and pictures of README.md of the committed records, and the results in the project's: page.py [--check]

Each table stands between <!-- name --> and <!-- /name -->; --check only says whether the pages are what the records make."""

import re
import sys

import claims
import figures
import tables
from records import HERE


def filled(path, made):
    """The page with its tables made anew."""
    text = path.read_text()
    marked = re.findall(r"<!-- /([a-z0-9-]+) -->", text)
    for name in sorted(set(marked) ^ set(made)):
        sys.exit(f"{path}: {name} " + ("is marked, but no such table is made" if name in marked else "is made, but the page has no place for it"))
    for name, table in made.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text, count = pattern.subn(lambda m: m[1] + table.strip() + "\n" + m[2], text)
        if count != 1:
            sys.exit(f"{path}: {name} is marked {count} times")
    return text


def main():
    pages = {HERE / "README.md": tables.all_tables() | {"claims": claims.claims()}, HERE.parents[1] / "README.md": {"glue-minilm": tables.results()}}
    texts = {path: filled(path, made) for path, made in pages.items()}
    if "--check" in sys.argv[1:]:
        for path, text in texts.items():
            if text != path.read_text():
                sys.exit(f"{path} is not what the records make: page.py makes it")
        return
    for path, text in texts.items():
        path.write_text(text)
    figures.draw_all()


if __name__ == "__main__":
    main()
