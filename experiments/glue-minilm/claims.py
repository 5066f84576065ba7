"""The numbers that decide the claims, as one table of README.md. MARGIN and which number decides were written down before
the runs of (d) and (e), of the other tasks and of other seeds were made."""

import numpy as np

import tables
from estimates import by_seed, paired, pooled, student
from tables import CUT, FIXED, HIGH, JOINT, LORA, METATT, NONE, SHARED, THREE, markdown, named, proper, value

MARGIN = 0.01  # of the main metric: two methods are alike whose interval lies within it on either side
BOTH = ("stsb", "mrpc")  # the tasks of the questions that are asked of two


def reading(estimate):
    """What an interval says."""
    if estimate is None or np.isnan(estimate.half):
        return NONE
    low, high = estimate.mean - estimate.half, estimate.mean + estimate.half
    if -MARGIN < low and high < MARGIN:
        return "alike"
    if low > 0:
        return "better"
    if high < 0:
        return "worse"
    return "not told apart" + (", not better by the margin" if high < MARGIN else ", not worse by the margin" if low > -MARGIN else "")


def over_tasks(one, other, tasks):
    """The mean over tasks of one row of the methods less another; a row may have others in its place, of which the first that
    a task has counts. None unless both sides have each task."""
    def side(of, labels):
        return next((of[label] for label in labels if label in of), [])
    by = [tables.methods(task) for task in tasks]
    pairs = [paired(side(of, one if isinstance(one, tuple) else (one,)), side(of, other if isinstance(other, tuple) else (other,)), value) for of in by]
    return pooled(pairs)


def of_sweeps(one, *others):
    """Likewise of two rows of the sweeps, on STS-B and MRPC."""
    by = [tables.swept(task) for task in BOTH]
    return pooled([paired(of.get(one, []), next((of[other] for other in others if other in of), []), value) for of in by])


def of_budgets(within, one, other, at=None):
    """The tasks that have both methods within a budget, by name, and one less the other; the other may have a budget of its own."""
    sides = {}
    for task in BOTH:
        by = tables.by_budget(task)
        ours, theirs = by.get((within, one)), by.get((at or within, other))
        if ours and theirs:
            sides[task] = paired(ours, theirs, value)
    return named(sides), pooled(sides.values())


def of_question(question, method, other, tasks):
    """MetaTT-4D or another method less another one, of a question's own runs; None where a side is missing."""
    sides = [[proper(question, task=task, adapter__method=m) for m in (method, other)] for task in tasks]
    return pooled([paired(ours, theirs, value) for ours, theirs in sides]) if all(ours and theirs for ours, theirs in sides) else None


def claims():
    done = tables.judged_tasks()
    where, two = named(done), named(BOTH)
    plain, lora = tables.METHODS["metatt4d"], tables.METHODS["lora"]
    joint, alone = tables.several()
    rows = []

    def row(claim, what, tasks, estimate, decides=False, instead=False):
        """decides: written down before the runs; instead: decides where that one has lost seeds."""
        if estimate is not None:
            rows.append([claim, f"**{what}**" if decides else f"‡ {what}" if instead else what, tasks, estimate, reading(estimate)])

    steady, at = (tables.STEADY, METATT), ", at 3e-3 on STS-B"
    has_steady = bool(proper("steady"))
    row("(a)", "MetaTT-4D r8 (6,656) − LoRA r8 (73,728)", where, over_tasks(METATT, LORA, done), True)
    if has_steady:
        row("(a)", f"MetaTT-4D r8{at} − LoRA r8", where, over_tasks(steady, LORA, done), instead=True)
    row("(a)", "after ten epochs: MetaTT-4D r8 − LoRA r8", two, of_question("longer", "metatt4d", "lora", BOTH))
    row("(a)", "of twelve layers: MetaTT-4D r8 (7,040) − LoRA r8 (147,456)", "STS-B", of_question("depth", "metatt4d", "lora", ("stsb",)))
    for label in plain, tables.GENTLY:
        row("(a)", f"{label} (6,656) − LoRA r1 (9,216)", *of_budgets(7000, label, lora, 10000))
        row("(a)", f"within 20,000: {label} − LoRA", *of_budgets(20000, label, lora))
    row("(a)", "VeRA r256 (7,680) − LoRA r8", where, over_tasks("VeRA r256", LORA, done))
    row("(b)", "MetaTT-4D r8 (6,656) − CP, LoRTA r16 (6,976)", where, over_tasks(METATT, "CP (LoRTA) r16", done), True)
    for other in "CP (LoRTA) r16", "CP of MetaTT-4D's modes r8", "TensLoRA r8", "FacT-TK r16", "LoTR r40", "LoRETTA-rep r8", "VeRA r256":
        have = [t for t in done if other in tables.methods(t)]
        row("(b)", f"MetaTT-4D r8{at if has_steady and 'stsb' in have else ''} − {other}", named(have), over_tasks(steady, other, have) if have else None, instead=has_steady and other == "CP (LoRTA) r16")
    for within in 2000, 20000:  # within 7,000 these have their usual sizes
        for label in plain, tables.GENTLY:
            for other in "lorta", "fact-tk", "tenslora":
                row("(b)", f"within {within:,}: {label} − {tables.METHODS[other]}", *of_budgets(within, label, tables.METHODS[other]))
    gentle = tables.GENTLE[tables.FOUND]
    for other in "CP (LoRTA) r16", "TensLoRA r8", "FacT-TK r16", "LoTR r40", "VeRA r256":
        have = [t for t in done if other in tables.methods(t) and gentle in tables.methods(t)]
        if have:
            row("(b)", f"{gentle} − {other}", named(have), over_tasks(gentle, other, have))
    least, most = (6, 2, 1), (24, 4, 8)
    growth = [count(*most) / count(*least) for _, count in (tables.COUNTS[f"{METATT}, a task mode"], tables.COUNTS[f"{LORA}, an adapter for each task"])]
    rows.append(["(c)", "**parameters of 24 layers × 4 matrices × 8 tasks / of 6 × 2 × 1: MetaTT-4D r8 with a task mode; LoRA r8, an adapter for each task**", "by count", f"{growth[0]:.2f}; {growth[1]:.0f}", NONE])
    row("(d)", "rank 16 to 8 by canonical sweep at 90 % − rank 8", two, of_sweeps(CUT, FIXED), True)
    for label in tables.swept("stsb"):
        if label not in (FIXED, tables.FIXED_STEADY):
            row("(d)", f"{label} − rank 8{at if has_steady else ''}", two, of_sweeps(label, tables.FIXED_STEADY, FIXED), instead=has_steady and label == CUT)
    row("(d)", "rank 16 to 8 by canonical sweep at 90 % − rank 16", two, of_sweeps(CUT, HIGH))
    row("start", f"MetaTT-4D r8 from or-id-id-ze − from ze-id-id-id{at if has_steady else ''}", two, over_tasks(tables.STARTED, steady, BOTH))
    row("start", f"MetaTT-5D r16 from or-id-id-id-ze{at if has_steady else ''} − from ze-id-id-id-id", two, over_tasks((tables.STEADY5, tables.STARTED5), tables.METATT5, BOTH))
    for alpha, label in tables.GENTLE.items():
        for have in BOTH, ("sst2", "qnli"), done:
            names = named(have)
            row("α", f"{label} − α 4{at if has_steady and 'stsb' in have else ''}", names, over_tasks(label, steady, have))
            row("α", f"{label} − LoRA r8", names, over_tasks(label, LORA, have))
    names = named(THREE)
    if JOINT in joint:
        if tables.ALONE3 in alone:
            row("(e)", "one train with a task mode (6,848) − a train for each (7,128 in all)", names, student(by_seed(joint[JOINT], alone[tables.ALONE3], THREE)), True)
        if tables.JOINT_LORA in joint:
            row("(e)", "one train with a task mode (6,848) − one LoRA r8 for all (73,728)", names, student(by_seed(joint[JOINT], [joint[tables.JOINT_LORA]] * 3, THREE)))
            row("(e)", "one LoRA r8 for all − a LoRA r8 for each", names, student(by_seed(joint[tables.JOINT_LORA], alone[tables.LORAS], THREE)))
        if SHARED in joint:
            row("(e)", "with the task mode − one update for all", names, student(by_seed(joint[JOINT], [joint[SHARED]] * 3, THREE)))
        if tables.ALONE8 in alone:
            row("(e)", "one train with a task mode (6,848) − r8 for each (19,968 in all)", names, student(by_seed(joint[JOINT], alone[tables.ALONE8], THREE)))
    return markdown(["claim", "compared", "on", "main metric", f"with a margin of {MARGIN}"], rows) if rows else tables.EMPTY
