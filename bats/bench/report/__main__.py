# SPDX-License-Identifier: MIT
"""report DIR: makes DIR/report.md and its plots of the samples that are there, and prints it."""
import importlib
import os
import sys

from samples import load
import text

# One or two rounds have no spread that is worth the name.
ROUNDS_MIN = 3
PARTS = ["request-path", "cold-wake", "tiers", "wordpress", "memory", "scale"]


def section_of(part):
    return importlib.import_module(part.replace("-", "_"))


def of_run_before(directory, part, samples):
    """What differs from the run before: a ratio whose spreads do not overlap."""
    before = load(os.path.join(directory, "before"), part)
    if before is None:
        return None
    section_of(part).section(before, None)
    both = [key for key, ratio in samples.ratios.items()
            if key in before.ratios and min(ratio.count, before.ratios[key].count) >= ROUNDS_MIN]
    differ = [key for key in both if samples.ratios[key].low > before.ratios[key].high
              or samples.ratios[key].high < before.ratios[key].low]
    return [(key, before.ratios[key], samples.ratios[key]) for key in differ], len(both)


def comparison(directory, measured):
    lines, rows, count = [], [], 0
    for part, samples in measured:
        found = of_run_before(directory, part, samples)
        if found is None:
            continue
        count += found[1]
        rows += [[f"{case}, {figure}: {peer} / {base}", text.ratio(old), text.ratio(new)]
                 for (case, peer, base, figure), old, new in found[0]]
    if count:
        lines = ["## Against the run before\n",
                 f"{count - len(rows)} of {count} ratios are the same, within their spreads.\n"]
    if rows:
        lines.append(text.table(["changed", "before", "now"], rows))
    return lines


def summary(targets):
    lines = [text.table(["what was promised", "limit", "measured", ""], [t.row() for t in targets])]
    short = [t.explanation() for t in targets if not t.is_met()]
    if short:
        lines.append("Where it falls short:\n")
        lines += [f"- {words}" for words in short]
        lines.append("")
    return lines


def main():
    directory = sys.argv[1]
    measured = [(part, load(directory, part)) for part in PARTS]
    measured = [(part, samples) for part, samples in measured if samples]
    targets, body = [], []
    for part, samples in measured:
        words, promised = section_of(part).section(samples, directory)
        targets += promised
        body += [words, samples.origin + "\n"]
    lines = ["# fpm-waker beside others\n",
             "Medians, in parentheses the 10th and the 90th percentile of the rounds. A ratio is that of "
             "two measurements of one round. Only ratios can be carried over to another machine.\n"]
    lines += summary(targets) + body + comparison(directory, measured)
    report = "\n".join(lines)
    path = os.path.join(directory, "report.md")
    with open(path, "w", encoding="utf-8") as file:
        file.write(report)
    print(report)
    print(f"This is {path}")


main()
