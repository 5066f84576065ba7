"""The project and its peer on a GPU, one after the other, as many as the time allows: a table of what each reaches.

    python3 timings.py --finetune ./finetune --model DIR --glue DIR --out timings.jsonl [--device cuda] [--seconds 180]
"""

import argparse
import json
import sys
import time

import sides

# What is run, the most telling first: the side, its precision, the method or the mode of torch.compile, seconds at most.
RUNS = [
    ("project", "bf16", "metatt4d", 60), ("project", "bf16", "lora", 60),
    ("peer", "bf16", "default", 90), ("peer", "tf32", "", 45), ("project", "fp32", "metatt4d", 60), ("project", "tf32", "metatt4d", 60),
    ("peer", "bf16", "", 45), ("peer", "bf16", "reduce-overhead", 90), ("peer", "autocast", "", 45),
    ("project", "fp32", "lora", 60), ("project", "tf32", "lora", 60),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finetune", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--glue", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dev", type=int, required=True, help="examples of the dev set")
    parser.add_argument("--seconds", type=float, default=180, help="for all runs together")
    parser.add_argument("--steps", type=int, default=200, help="of each third of the project's run; the peer's is shorter")
    parser.add_argument("--batch", type=int, default=32)
    o = parser.parse_args()
    deadline = time.monotonic() + o.seconds
    lines = []
    with open(o.out, "a") as out:
        for side, precision, how, most in RUNS:
            left = deadline - time.monotonic()
            name = f"{side} {precision} {how or 'eager'}"
            if side == "peer" and how and o.device == "cpu":
                print(f"{name}: left out on a CPU, where compiling takes minutes", flush=True)
                continue
            if left < 10:
                print(f"{name}: left out, no time", flush=True)
                continue
            try:
                record = run(o, side, precision, how, min(most, left))
            except sides.Failed as failure:
                print(f"{name}: FAILED: {failure}", flush=True)
                continue
            out.write(json.dumps({"name": name, "method": how, "dtype": precision} | record) + "\n")
            out.flush()
            lines.append((name, record))
            print(f"{name}: {record['samples_s']:.0f} samples/s", flush=True)
    table(o, lines)
    if len(lines) < len(RUNS):
        print(f"{len(RUNS) - len(lines)} of {len(RUNS)} runs failed or were left out")
        return 1
    return 0


def run(o, side, precision, how, limit):
    if side == "project":
        work = sides.Work(o.model, o.glue, "mrpc", precision, how, 3 * o.steps, o.steps, o.dev, o.batch, device=o.device)
        return sides.project(o.finetune, work, limit)
    work = sides.Work(o.model, o.glue, "mrpc", precision, "lora", o.steps // 2, o.steps // 8, o.dev, o.batch, device=o.device)
    return sides.peer(sys.executable, work, precision, how, evaluations=2, limit=limit)


def table(o, lines):
    best = max([r["samples_s"] for name, r in lines if name.startswith("peer")], default=None)
    print(f"\n{'':28}{'samples/s':>10}{'ms a step':>11}{'x best peer':>13}{f'first {o.steps}':>11}{'evaluation':>12}{'peak GiB':>10}{'first step':>12}")
    for name, r in lines:
        against = f"{r['samples_s'] / best:.2f}" if best else "-"
        # The peer's peak on the GPU is that of its tensors, the project's what it says of itself.
        peak = (r.get("device_peak_bytes") or r["peak_bytes"]) / 2**30
        first = f"{r['first_samples_s']:.0f}" if name.startswith("project") and "first_samples_s" in r else "-"
        evaluated = f"{r['eval_samples_s']:.0f}" if r["eval_samples_s"] else "-"
        print(f"{name:28}{r['samples_s']:10.0f}{1e3 * o.batch / r['samples_s']:11.2f}{against:>13}{first:>11}{evaluated:>12}{peak:10.2f}{r['start_s']:11.1f}s")


if __name__ == "__main__":
    sys.exit(main())
