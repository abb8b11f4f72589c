"""Our onnxruntime beside Python's: the same library's version, the same models, one thread, one item at a time. Prints the time
of a run of each, the geometric mean of how fast ours is beside Python's (1 is as fast, more is faster), how far the two orders of
latencies agree (Kendall's tau), and how many points of score a model is given by ours beside what it would have by Python's, where a
latency is a ratio to that of the fixture `resnet` and a twentieth of its speed costs all 20 points (docs/RULES.md).

Models are the exports of engine/tests/data/exports.jsonl.gz, those of models/fixtures/onnx, and what is named besides. They
take turns, and the median over turns counts, so that a busy machine spoils neither side alone. Ours reads the canonical
file that is written of a model, Python the model itself.

    cargo build --release -p engine --no-default-features --features ort --example clock
    $(scripts/python.sh onnx) scripts/engine_speed.py target/release/examples/clock [MODEL.onnx ..]
"""

import gzip
import itertools
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

# onnxruntime's Linux wheel reports to its maker unless this is there before it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy  # noqa: E402
import onnxruntime  # noqa: E402

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
TURNS, MILLISECONDS = 7, 300
TYPES = {"tensor(float)": numpy.float32, "tensor(int64)": numpy.int64, "tensor(int32)": numpy.int32}


def session(file):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def given(port):
    dtype = numpy.dtype(TYPES[port.type])
    dims = [dim if isinstance(dim, int) else 1 for dim in port.shape]
    # As ours: ones, but whole numbers are indices, of which 0 is always one.
    return numpy.full(dims, 1 if dtype.kind == "f" else 0, dtype)


def python_ns(ready):
    feed = {port.name: given(port) for port in ready.get_inputs()}
    for _ in range(3):
        ready.run(None, feed)
    runs, end = [], time.perf_counter_ns() + MILLISECONDS * 1_000_000
    while time.perf_counter_ns() < end:
        start = time.perf_counter_ns()
        ready.run(None, feed)
        runs.append(time.perf_counter_ns() - start)
    return statistics.median(runs)


def library():
    said = subprocess.run([REPOSITORY / "scripts/onnxruntime.sh"], check=True, capture_output=True, text=True).stdout
    return said.split("'")[1]


def models(folder):
    with gzip.open(REPOSITORY / "engine/tests/data/exports.jsonl.gz", "rt") as lines:
        for case in map(json.loads, lines):
            file = pathlib.Path(folder) / f"{case['name']}.onnx"
            file.write_bytes(bytes.fromhex(case["model"]))
            yield file
    for name in ("mlp", "resnet"):
        yield REPOSITORY / f"models/fixtures/onnx/{name}/model.onnx"
    yield from map(pathlib.Path, sys.argv[2:])


def kendall(pairs):
    signs = [(a > b) - (a < b) for (a, _), (b, _) in itertools.combinations(pairs, 2)]
    others = [(a > b) - (a < b) for (_, a), (_, b) in itertools.combinations(pairs, 2)]
    return statistics.mean(one * other for one, other in zip(signs, others, strict=True))


def gift(pair, reference):
    """Points of score: utility falls from 1 at the reference's latency to 0 at twenty times it, and weighs 20 points."""
    utility = [min(max(1 - math.log(its / of) / math.log(20), 0), 1) for its, of in zip(pair, reference, strict=True)]
    return 20 * (utility[1] - utility[0])


def main():
    clock, where = sys.argv[1], library()
    ratios, times = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for file in models(folder):
            # As `retort model onnx DIR` writes it: DIR/onnx/model.onnx.
            folder_of = file.parent.parent if file.parent.name == "onnx" else file.parent
            name = f"{folder_of.name}/{file.name}" if file.name == "model.onnx" else file.stem
            ready, theirs, ours = session(file), [], []
            for _ in range(TURNS):
                theirs.append(python_ns(ready))
                ran = subprocess.run([clock, where, str(MILLISECONDS), file], check=True, capture_output=True, text=True)
                ours.append(int(ran.stdout))
            theirs, ours = statistics.median(theirs), statistics.median(ours)
            ratios.append(theirs / ours)
            times[name] = theirs, ours
            print(f"{name:32} Python {theirs / 1e3:10.1f} us   ours {ours / 1e3:10.1f} us   {ratios[-1]:.3f}", flush=True)
    mean = math.exp(statistics.mean(map(math.log, ratios)))
    print(f"geometric mean over {len(ratios)} models: {mean:.3f} of Python's speed, least {min(ratios):.3f}")
    print(f"Kendall's tau of the two orders over {len(times)} models: {kendall(list(times.values())):.3f}")
    given = {name: gift(pair, times["resnet/model.onnx"]) for name, pair in times.items()}
    most = max(given, key=lambda name: abs(given[name]))
    print(f"points given by ours beside Python's: at most {given[most]:+.2f} ({most})")


main()
