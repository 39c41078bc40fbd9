# SPDX-License-Identifier: MIT
"""What was promised, and whether it was reached."""
from text import number


class Target:
    """A promise about one figure: it is at most, or at least, a limit."""

    def __init__(self, words, value, limit, at_least=False, shortfall=""):
        """shortfall: what costs it, for when it is not met."""
        self.words, self.value, self.limit, self.at_least = words, value, limit, at_least
        self.shortfall = shortfall

    def is_met(self):
        if self.at_least:
            return self.value >= self.limit
        return self.value <= self.limit

    def row(self):
        sign = "≥" if self.at_least else "≤"
        verdict = "met" if self.is_met() else "**not met**"
        return [self.words, f"{sign} {number(self.limit)}", number(self.value), verdict]

    def explanation(self):
        """In plain words, if it fell short."""
        if self.is_met():
            return ""
        return (f"{self.words}: {number(self.value)} instead of {number(self.limit)}. "
                + self.shortfall).strip()
