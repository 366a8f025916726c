"""A line for each cell that has a latency: its key, and milliseconds."""

SUFFIX = "txt"


def write(summaries):
    rows = [row for summary in summaries for row in summary.rows if row.valid and row.latency_s]
    return "".join(f"{row.cell} {1e3 * row.latency_s:.4f}\n" for row in rows)
