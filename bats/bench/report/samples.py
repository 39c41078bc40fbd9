# SPDX-License-Identifier: MIT
"""The samples of a run: medians, spreads, and ratios of peers, round by round."""
import collections
import os


def percentile(values, share):
    """The value below which that share (0 to 1) of the values is."""
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


def median(values):
    """The middle one, the mean of both if there are two."""
    values = sorted(values)
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


class Spread:
    """A median with the 10th and the 90th percentile around it."""

    def __init__(self, values):
        self.middle = median(values)
        self.low = percentile(values, 0.1)
        self.high = percentile(values, 0.9)
        self.count = len(values)


class Samples:
    """What one part of the bench has printed, and the ratios that were asked of it."""

    def __init__(self, path):
        self.values = collections.defaultdict(dict)
        self.ratios = {}
        self.origin = ""
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("# "):
                    self.origin = line[2:].strip()
                    continue
                case, peer, number, figure, value = line.rstrip("\n").split("\t")
                self.values[case, peer, figure][number] = float(value)

    def cases(self):
        """In the order in which they were measured."""
        return list(dict.fromkeys(case for case, _, _ in self.values))

    def peers(self, case):
        return list(dict.fromkeys(peer for of, peer, _ in self.values if of == case))

    def figures(self, case, peer):
        return list(dict.fromkeys(f for c, p, f in self.values if (c, p) == (case, peer)))

    def has(self, case, peer, figure):
        return bool(self.values.get((case, peer, figure)))

    def all(self, case, peer, figure):
        return list(self.values[case, peer, figure].values())

    def spread(self, case, peer, figure):
        return Spread(self.all(case, peer, figure))

    def median(self, case, peer, figure):
        return self.spread(case, peer, figure).middle

    def ratio(self, case, peer, base, figure):
        """Of a peer to another one, each round by itself."""
        above, below = self.values[case, peer, figure], self.values[case, base, figure]
        spread = Spread([above[number] / below[number] for number in above if below.get(number)])
        self.ratios[case, peer, base, figure] = spread
        return spread


def load(directory, part):
    """The samples of a part; None: it was not run."""
    path = os.path.join(directory, part + ".samples")
    return Samples(path) if os.path.exists(path) else None
