"""Holds canonical ONNX files against those that they were made from: the same outputs, bit for bit, in onnxruntime
without its optimiser, on random inputs. Ends with 1 where any differs. The original is run at the opset of the canonical
file, since onnxruntime has another AveragePool for opset 19 (other last bits).

    cargo run -p program --example canonical -- OUT FILE...
    $(scripts/python.sh onnx) scripts/onnx_agree.py OUT FILE...
"""

import os
import pathlib
import sys

# Its Linux wheel reports to its maker unless this is there before it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402

ITEMS = 3
DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}


def session(path, opset=None):
    model = onnx.load(path)
    if opset:
        next(entry for entry in model.opset_import if entry.domain == "").version = opset
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def inputs(canonical, seed):
    """Random ones of the canonical file's sizes, which are all numbers."""
    random = numpy.random.default_rng(seed)
    for port in canonical.get_inputs():
        if port.type == "tensor(int64)":
            yield random.integers(0, 2 if "mask" in port.name else 100, port.shape)
        else:
            yield random.normal(size=port.shape).astype(DTYPES[port.type])


def main(folder, *originals):
    differing = 0
    for original in map(pathlib.Path, originals):
        path = pathlib.Path(folder) / original.name
        if not path.exists():
            continue
        opset = onnx.load(path).opset_import[0].version
        declared = next(entry.version for entry in onnx.load(original).opset_import if entry.domain == "")
        before, after = session(original, opset if 18 <= opset < declared else None), session(path)
        largest, equal = 0.0, True
        for seed in range(ITEMS):
            given = list(inputs(after, seed))
            outputs = [
                run.run(None, dict(zip([port.name for port in run.get_inputs()], given))) for run in (before, after)
            ]
            for old, new in zip(*outputs):
                equal &= old.dtype == new.dtype and old.shape == new.shape and old.tobytes() == new.tobytes()
                largest = max(largest, float(numpy.abs(old - new).max()) if old.shape == new.shape else float("inf"))
        differing += not equal
        print(f"{original.name}: {'equal' if equal else 'DIFFERS'}, largest difference {largest:.2e}", flush=True)
    return 1 if differing else 0


sys.exit(main(*sys.argv[1:]))
