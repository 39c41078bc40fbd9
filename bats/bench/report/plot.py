# SPDX-License-Identifier: MIT
"""Plots in SVG, made by gnuplot."""
import os
import subprocess
import sys

HEAD = """set terminal svg size 760,420 font "sans-serif,13" background "white"
set border 3 lc rgb "#888888"
set xtics nomirror
set ytics nomirror
set grid ytics lc rgb "#dddddd"
set key outside right top
"""


def draw(directory, name, title, commands, data):
    """Writes NAME.svg and returns the Markdown that shows it. data: the gnuplot data blocks that the
    commands use, {name: lines}."""
    blocks = "".join(f"${block} << END\n" + "\n".join(lines) + "\nEND\n" for block, lines in data.items())
    path = os.path.join(directory, name + ".svg")
    script = f'{HEAD}set output "{path}"\nset title "{title}"\n{blocks}{commands}\n'
    done = subprocess.run(["gnuplot"], input=script, text=True, stderr=subprocess.PIPE, check=False)
    if done.returncode or done.stderr:
        sys.exit(f"report: gnuplot, {name}: {done.stderr}")
    return f"![{title}]({name}.svg)\n"
