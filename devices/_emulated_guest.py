"""The other side of `_emulated`: runs a TFLite file inside the emulated machine.

    python _emulated_guest.py MODEL THREADS

Run by the Python of that machine, so it imports nothing of this project. Frames go through stdin
and stdout: a length of 8 bytes, then an .npz archive. The first tells, as JSON, what was loaded;
then each frame of inputs is answered by the outputs, after the processor time of `invoke` in ns.
"""

import io
import json
import os
import struct
import sys
import time
from typing import IO, Any

import numpy as np


def send(stream: IO[bytes], arrays: list[Any]) -> None:
    """Write one frame."""
    archive = io.BytesIO()
    np.savez(archive, *arrays)
    content = archive.getvalue()
    stream.write(struct.pack("<Q", len(content)) + content)
    stream.flush()


def receive(stream: IO[bytes]) -> list[Any] | None:
    """Read one frame; None at the end of the stream."""
    head = stream.read(8)
    if len(head) < 8:
        return None
    content = stream.read(struct.unpack("<Q", head)[0])
    archive = np.load(io.BytesIO(content))
    return [archive[f"arr_{i}"] for i in range(len(archive.files))]


def _port(port: Any) -> dict[str, Any]:
    scale, zero_point = port["quantization"]
    return {
        "name": port["name"],
        "shape": [int(size) for size in port["shape"]],
        "dtype": np.dtype(port["dtype"]).name,
        "quantization": [float(scale), int(zero_point)],
    }


def _node(node: Any) -> dict[str, Any]:
    tensors = {side: [int(t) for t in node[side]] for side in ("inputs", "outputs")}
    return {"index": int(node["index"]), "op_name": node["op_name"], **tensors}


def main() -> None:
    """Serve until stdin ends."""
    # What the runtime prints shall not get between the frames.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(sys.argv[1], num_threads=int(sys.argv[2]))
    interpreter.allocate_tensors()
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    loaded = {
        "inputs": [_port(port) for port in inputs],
        "outputs": [_port(port) for port in outputs],
        "nodes": [_node(node) for node in interpreter._get_ops_details()],
    }
    send(answers, [np.array(json.dumps(loaded))])
    while (arrays := receive(sys.stdin.buffer)) is not None:
        for port, array in zip(inputs, arrays, strict=True):
            interpreter.set_tensor(port["index"], array)
        # Not the time that passes: a busy host must not make one file look slower than another.
        start = time.process_time_ns()
        interpreter.invoke()
        took_ns = time.process_time_ns() - start
        results = [interpreter.get_tensor(port["index"]) for port in outputs]
        send(answers, [np.array(took_ns), *results])


if __name__ == "__main__":
    main()
