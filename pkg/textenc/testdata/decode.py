"""Prints the SHA-256 that TestDecodeAsPython expects: of what Python decodes from
every sequence of one to four of the bytes at which UTF-8's rules change."""
import hashlib
import itertools

EDGES = bytes.fromhex("00 41 7F 80 8F 90 9F A0 BF C0 C1 C2 DF E0 E1 EC ED EE EF F0 F1 F3 F4 F5 FF")
digest = hashlib.sha256()
for length in range(1, 5):
    for sequence in itertools.product(EDGES, repeat=length):
        digest.update(bytes(sequence).decode("utf-8", "replace").encode() + b"\n")
print(digest.hexdigest())
