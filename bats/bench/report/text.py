# SPDX-License-Identifier: MIT
"""Numbers and tables as Markdown."""


def number(value):
    """Three digits that count."""
    if value == 0:
        return "0"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 4
    return f"{value:,.{digits}f}"


def spread(spread_of):
    """The median, with its spread in parentheses."""
    return f"{number(spread_of.middle)} ({number(spread_of.low)}–{number(spread_of.high)})"


def ratio(spread_of):
    return f"**{spread_of.middle:.2f}** ({spread_of.low:.2f}–{spread_of.high:.2f})"


def table(head, rows):
    """rows: lists of text, the first column of which is words and the others numbers."""
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
