"""Times from a stopwatch: a line each, as `stopwatch: NET SECONDS`."""

from paretomark.reports.readers import _foreign


def reads(source):
    return source.text.startswith("stopwatch:")


def read(source):
    records = []
    for number, line in enumerate(source.text.splitlines(), start=1):
        _, net, seconds = line.split()
        where = f"{source.path}, line {number}"
        records.append(
            _foreign.visit(
                "a stopwatch", model=net, values_s=[float(seconds)], where=where, device="hand"
            )
        )
    return _foreign.Imported(tool="a stopwatch", records=tuple(records))
