"""The matrix products that a step needs, and how fast the machine makes them when it does nothing else.

    python bench/products.py --model DIR --tokens 1700 --batch 32 --precision fp32

A step of an adapter on a frozen backbone needs each linear layer forward and, for the gradient of what goes in, backward;
no gradient of its weight; nothing backward of the first layer's query, key and value; and in the last layer the first
tokens alone for all but key and value. Attention's own products (3 % at MRPC's lengths), the adapter's and the head's are
left out.
"""

import argparse
import json
import statistics
import time
from collections import Counter
from pathlib import Path


def needed(config, tokens, batch):
    """Counts the products (m, k) x (k, n) of a step, by (m, k, n)."""
    hidden, wide, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    count = Counter()
    for layer in range(layers):
        last = layer == layers - 1
        rows = batch if last else tokens
        # Query, key and value as one product where they have the same rows.
        joined = [(tokens, hidden, 2 * hidden), (rows, hidden, hidden)] if last else [(tokens, hidden, 3 * hidden)]
        rest = [(rows, hidden, hidden), (rows, hidden, wide), (rows, wide, hidden)]
        count.update(joined + rest)
        count.update((m, n, k) for m, k, n in rest + (joined if layer else []))
    return count


def flops(products):
    return sum(2 * m * k * n * times for (m, k, n), times in products.items())


def speed(config, tokens, batch, precision, threads=0):
    """FLOP/s over all products of a step, each made the fastest way that libtorch has."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    products = needed(config, -(-tokens // 32) * 32, batch)
    with torch.inference_mode():
        seconds = sum(times * fastest(torch, dtype, *shape) for shape, times in products.items())
    return flops(products) / seconds


def fastest(torch, dtype, m, k, n):
    """Seconds of (m, k) x (k, n), bias included, by the fastest of MKL's or oneDNN's with the weight in either layout."""
    x, weight, bias = torch.randn(m, k, dtype=dtype), torch.randn(n, k, dtype=dtype), torch.randn(n, dtype=dtype)
    other = weight.t().contiguous()
    ways = [lambda: torch.nn.functional.linear(x, weight, bias), lambda: torch.addmm(bias, x, other)]
    if torch.backends.mkldnn.is_available():
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, m)
        ways.append(lambda: torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], ""))
    return min(median(way) for way in ways)


def median(way, budget=0.2):
    """The median of as many calls as budget seconds hold, at least three, after two that do not count."""
    way()
    times = [0.0]
    while len(times) < 5 or sum(times) < budget and len(times) < 50:
        began = time.perf_counter()
        way()
        times.append(time.perf_counter() - began)
    return statistics.median(times[2:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--tokens", type=int, required=True, help="of a step")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--threads", type=int, default=0)
    o = parser.parse_args()
    config = json.loads((Path(o.model) / "config.json").read_text())
    print(json.dumps({"flops": flops(needed(config, o.tokens, o.batch)), "flop_s": speed(config, o.tokens, o.batch, o.precision, o.threads)}))


if __name__ == "__main__":
    main()
