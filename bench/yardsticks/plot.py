"""Draws the curve of a result: ``python plot.py RESULT.json CURVE.svg``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt


def main(result: str, picture: str) -> None:
    """Cost of a record, and memory, over the number of records stored."""
    points = json.loads(Path(result).read_text(encoding="utf-8"))["curve"]
    stored = [point["records"] for point in points]
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text
    figure, cost = plt.subplots(figsize=(7, 4))
    cost.plot(stored, [point["us"] for point in points], "o-", color="tab:blue")
    cost.set(xscale="log", xlabel="records stored", ylabel="µs of CPU for each new record")
    cost.set_ylim(bottom=0)
    memory = cost.twinx()
    memory.plot(stored, [point["peak"] for point in points], "s--", color="tab:orange")
    memory.axhline(400, color="tab:red", linewidth=0.8)
    memory.set_ylabel("peak memory in MiB (limit 400)")
    memory.set_ylim(bottom=0)
    figure.tight_layout()
    figure.savefig(picture)
    print(json.dumps({"points": len(points)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
