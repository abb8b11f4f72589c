"""Writes engine/tests/data/operators.jsonl.gz: ONNX's own tests of single operators (`onnx.backend.test`), as far as they
use nothing but the operators that a graph may have. One test a line: name, model, inputs and outputs, bytes as hex.

A test's shapes, axes and counts are inputs there and initialisers here, since a graph has fixed shapes. What is written is
what onnxruntime agrees with (so that a slip of this script is no engine's fault) and what the crate `program` admits.

    cargo build -p program --example canonical
    $(scripts/python.sh onnx) scripts/engine_operators.py target/debug/examples/canonical
"""

import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile

# onnxruntime's Linux wheel reports to its maker unless this is there before it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
from onnx_operators import cases, listed  # noqa: E402

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
DATA = REPOSITORY / "engine/tests/data"
# A test of more bytes than this shows nothing that a smaller one doesn't.
BYTES_MAX = 40_000
# Later ones than are read only add types.
OPSET_MAX = 24
DTYPES = {"float32", "int64", "int32", "int8", "uint8", "bool"}
# Of what else these give, nothing is read.
ONE_OUTPUT = {"LayerNormalization", "MaxPool"}
# Inputs that say how a node is built.
BUILT_BY = {
    "Slice": range(1, 5), "Resize": range(1, 4), "Reshape": [1], "Expand": [1], "Split": [1], "TopK": [1], "CumSum": [1],
    "Pad": [1, 3], "Tile": [1], "OneHot": [1, 2], "Squeeze": [1], "Unsqueeze": [1],
    **{f"Reduce{kind}": [1] for kind in ("Mean", "Sum", "Max", "Min", "Prod", "L2")},
}


def fixed(case):
    """The test's model with fixed shapes, its inputs and its outputs; none where it is of no use here."""
    model = onnx.ModelProto.FromString(case.model.SerializeToString())
    graph = model.graph
    version = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), None)
    if version is None or graph.initializer:
        return None
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", min(max(version, 18), OPSET_MAX)))
    model.ir_version, model.producer_name = 10, ""
    given, answers = case.data_sets[0]
    if graph.node[0].op_type in ONE_OUTPUT:
        del graph.node[0].output[1:], graph.output[1:]
        answers = answers[:1]
    if any(value is None or isinstance(value, list) for value in [*given, *answers]):
        return None
    values = [numpy.asarray(value) for value in [*given, *answers]]
    if any(value.dtype.name not in DTYPES or value.size == 0 for value in values):
        return None
    node, built, kept = graph.node[0], BUILT_BY.get(graph.node[0].op_type, ()), []
    ports = list(graph.input)
    del graph.input[:]
    for port, value in zip(ports, given, strict=True):
        if any(index in built and name == port.name for index, name in enumerate(node.input)):
            graph.initializer.append(onnx.numpy_helper.from_array(numpy.asarray(value), port.name))
        else:
            graph.input.append(onnx.helper.make_tensor_value_info(port.name, port.type.tensor_type.elem_type, value.shape))
            kept.append(numpy.asarray(value))
    names = [port.name for port in graph.output]
    del graph.output[:]
    for name, value in zip(names, answers, strict=True):
        dtype = onnx.helper.np_dtype_to_tensor_dtype(numpy.asarray(value).dtype)
        graph.output.append(onnx.helper.make_tensor_value_info(name, dtype, numpy.asarray(value).shape))
    return (model, kept, [numpy.asarray(value) for value in answers]) if kept else None


def agrees(model, inputs, outputs):
    """Whether onnxruntime, without its optimiser, computes the test's outputs."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        ports = [port.name for port in session.get_inputs()]
        made = session.run(None, dict(zip(ports, inputs, strict=True)))
    except Exception:
        return False
    return all(
        found.shape == expected.shape and numpy.allclose(found, expected, rtol=1e-4, atol=1e-4, equal_nan=True)
        for found, expected in zip(made, outputs, strict=True)
    )


def tensor(value):
    return {"dtype": value.dtype.name, "dims": list(value.shape), "data": value.astype(value.dtype.newbyteorder("<")).tobytes().hex()}


def line(name, model, inputs, outputs):
    return json.dumps(
        {"name": name, "model": model.hex(), "inputs": [tensor(v) for v in inputs], "outputs": [tensor(v) for v in outputs]}
    )


def write(path, lines):
    DATA.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as sink, gzip.GzipFile("", "wb", 9, sink, 0) as packed:
        packed.write(("\n".join(lines) + "\n").encode())
    print(path.relative_to(REPOSITORY), len(lines), "cases,", path.stat().st_size, "bytes")


def admitted(canonical, models):
    """The names of those that the crate `program` reads."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: pathlib.Path(folder) / f"{name}.onnx" for name in models}
        for name, path in paths.items():
            path.write_bytes(models[name])
        out = pathlib.Path(folder) / "out"
        said = subprocess.run([canonical, out, *paths.values()], check=True, capture_output=True, text=True).stdout
        for refusal in (row for row in said.splitlines() if "REFUSED" in row):
            print("not admitted:", pathlib.Path(refusal.split(":")[0]).stem, refusal.split("REFUSED")[1][:100])
        return {path.stem for path in out.glob("*.onnx")}


def main():
    found = {}
    for case in cases():
        made = fixed(case)
        if made and made[0].ByteSize() + sum(value.nbytes for value in [*made[1], *made[2]]) <= BYTES_MAX:
            if agrees(*made):
                found[case.name] = made
            else:
                print("onnxruntime differs:", case.name)
    names = admitted(sys.argv[1], {name: made[0].SerializeToString() for name, made in found.items()})
    covered = {made[0].graph.node[0].op_type for name, made in found.items() if name in names}
    print("without a test:", " ".join(sorted(listed() - covered)))
    rows = [
        line(name.removeprefix("test_"), made[0].SerializeToString(), made[1], made[2])
        for name, made in sorted(found.items())
        if name in names
    ]
    write(DATA / "operators.jsonl.gz", rows)


if __name__ == "__main__":
    main()
