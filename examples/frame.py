"""Which net to ship? The fastest of each model on each device that loses less than a point.

python examples/frame.py RUN...
"""

import sys

import paretomark

cells = paretomark.load(sys.argv[1:])

# What counts was measured without a flag, and is the dense net or nearly as accurate.
good = cells[cells.valid & (cells.dense | (cells.delta > -0.01))]

place = ["machine", "device", "batch", "threads", "model"]
fastest = good.loc[good.groupby(place)["latency_s"].idxmin()]

fastest = fastest.assign(ms=1e3 * fastest.latency_s, points=100 * fastest.delta)
shown = [*place, "recipe", "ms", "speedup", "points", "simulated"]
print(fastest[shown].to_string(index=False, float_format="{:.2f}".format))
