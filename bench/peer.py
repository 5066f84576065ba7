"""What a user would pick instead: transformers + PEFT's LoRA of rank 8 on query and value, in a loop written by hand.

It trains on a GLUE folder's rows in their order (bench/rows.py), evaluates the dev set and prints one JSON line of what
that took. "step 1" is printed, alone on a line, when the first step is done.
"""

import argparse
import contextlib
import json
import os
import re
import sys
import time

import rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--glue", required=True)
    parser.add_argument("--task", required=True, choices=rows.TASKS)
    parser.add_argument("--precision", choices=["fp32", "tf32", "autocast", "bf16"], default="fp32",
                        help="of products; autocast keeps fp32 weights, bf16 has frozen weights in bf16")
    parser.add_argument("--steps", type=int, default=13)
    parser.add_argument("--warmup", type=int, default=3, help="steps before those that count")
    parser.add_argument("--evaluations", type=int, default=1, help="the last counts; 0: none")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--eval-batch", type=int, default=64)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", default="", help="mode of torch.compile: default, reduce-overhead …; without, eager")
    print(json.dumps(run(parser.parse_args())))


def run(options):
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model
    from torch.utils.data import DataLoader
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, get_linear_schedule_with_warmup

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.backends.cuda.matmul.allow_tf32 = options.precision != "fp32"
    torch.manual_seed(rows.SEED)
    cuda = options.device != "cpu"

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    # A GPU is fastest where all shapes are the same: every batch padded to the maximal length, and none that is short. On a
    # CPU that padding would cost more than it brings: shapes are dynamic there.
    fixed = bool(options.compile) and cuda
    collate = DataCollatorWithPadding(tokenizer, padding="max_length" if fixed else "longest", max_length=options.max_length)

    def encode(split):
        text, pair, labels = rows.read(options.glue, options.task, split)
        encoded = tokenizer(text, pair, truncation=True, max_length=options.max_length)
        return [dict({k: v[i] for k, v in encoded.items()}, labels=labels[i]) for i in range(len(labels))]

    def batches(examples, size):
        return DataLoader(examples, size, collate_fn=collate, pin_memory=cuda, drop_last=fixed)

    train = encode("train")
    dev = sorted(encode("dev"), key=lambda e: -len(e["input_ids"])) if options.evaluations else []
    model = AutoModelForSequenceClassification.from_pretrained(
        options.model, dtype=torch.bfloat16 if options.precision == "bf16" else torch.float32, attn_implementation="sdpa")
    model = get_peft_model(model, LoraConfig(
        task_type="SEQ_CLS", r=8, lora_alpha=8, lora_dropout=0.0, target_modules=["query", "value"])).to(options.device)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, options.lr, weight_decay=0.0, fused=cuda or None)
    schedule = get_linear_schedule_with_warmup(optimizer, int(0.06 * options.steps), options.steps)
    forward = torch.compile(model, mode=options.compile, dynamic=not fixed) if options.compile else model
    if options.precision == "autocast":
        cast = lambda: torch.autocast(options.device.split(":")[0], torch.bfloat16)
    else:
        cast = contextlib.nullcontext

    def move(batch):
        return {k: v.to(options.device, non_blocking=True) for k, v in batch.items()}

    def now():
        if cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    model.train()
    ends, losses, step = [], [], 0
    began = time.perf_counter()
    while step < options.steps:
        for batch in batches(train, options.batch):
            if options.compile == "reduce-overhead":
                torch.compiler.cudagraph_mark_step_begin()
            with cast():
                loss = forward(**move(batch)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.detach().clone())
            step += 1
            # A GPU is waited for where a figure is read off the clock, and nowhere else.
            timed = not cuda or step in (1, options.warmup, options.steps)
            ends.append(now() if timed else None)
            if step == 1:
                print("step 1", flush=True)
            if step == options.steps:
                break

    model.eval()
    evaluation = None
    for _ in range(options.evaluations):
        before, right = now(), 0
        with torch.no_grad() if options.compile else torch.inference_mode(), cast():
            for batch in batches(dev, options.eval_batch):
                batch = move(batch)
                right += (forward(**batch).logits.argmax(-1) == batch["labels"]).sum()
        right = int(right)
        evaluation = now() - before
    of_steps = [train[i:i + options.batch] for i in range(0, len(train), options.batch)]
    if fixed and len(of_steps[-1]) < options.batch:
        of_steps.pop()
    counted = [e for step in range(options.warmup, options.steps) for e in of_steps[step % len(of_steps)]]
    return {
        "first_steps_s": ends[options.warmup - 1] - began,
        "window_s": ends[-1] - ends[options.warmup - 1],
        "step_s": [] if cuda else [b - a for a, b in zip(ends[options.warmup - 1:], ends[options.warmup:])],
        "eval_s": evaluation, "eval_examples": len(dev) // options.eval_batch * options.eval_batch if fixed else len(dev),
        "peak_bytes": peak(), "device_peak_bytes": torch.cuda.max_memory_allocated() if cuda else None,
        "lengths": [len(e["input_ids"]) for e in counted],  # of the examples in the steps that count
        "losses": [round(float(x), 6) for x in losses],
        "torch": torch.__version__, "threads": torch.get_num_threads(),
    }


def peak():
    """The largest resident size of this process."""
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1]) << 10


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    sys.exit(main())
