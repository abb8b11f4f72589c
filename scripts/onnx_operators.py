"""Writes the operator tests that PyPI's `onnx` brings as files that a competition could get (opset 24, the first input is
the input, the others initialisers), and holds their canonical forms against the outputs that the tests state.

    $(scripts/python.sh onnx) scripts/onnx_operators.py write FOLDER
    cargo run -p program --example canonical -- FOLDER/canonical FOLDER/*.onnx > FOLDER/read.txt
    $(scripts/python.sh onnx) scripts/onnx_operators.py check FOLDER
"""

import collections
import os
import pathlib
import re
import sys
import warnings

# Its Linux wheel reports to its maker unless this is there before it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
from onnx import helper, numpy_helper  # noqa: E402
from onnx.backend.test.case.node import collect_testcases  # noqa: E402

OPSET, IR_VERSION = 24, 11
REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


def listed():
    """The operators that are read, as the README's table has them."""
    table = [line for line in (REPOSITORY / "program/README.md").read_text().splitlines() if line.startswith("|")]
    return set(re.findall(r"`([A-Z]\w+)`", "\n".join(table)))


def cases():
    """Tests of one node, of a listed operator, with one data set."""
    for case in collect_testcases(None):
        nodes = case.model.graph.node if case.model else []
        if len(nodes) == 1 and nodes[0].op_type in listed() and not nodes[0].domain:
            yield case


def write(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases():
        (given, expected), graph = case.data_sets[0], case.model.graph
        arrays = [numpy.asarray(value) for value in given if value is not None]
        if not all(isinstance(value, numpy.ndarray) for value in given if value is not None) or not arrays:
            continue
        if any(array.dtype.hasobject for array in arrays):
            continue
        ports = [port for port, value in zip(graph.input, given) if value is not None]
        initialisers = [numpy_helper.from_array(array, port.name) for port, array in zip(ports[1:], arrays[1:])]
        outputs = [
            helper.make_tensor_value_info(port.name, port.type.tensor_type.elem_type, numpy.asarray(value).shape)
            for port, value in zip(graph.output, expected)
        ]
        model = helper.make_model(
            helper.make_graph(list(graph.node), "test", [ports[0]], outputs, initialisers),
            opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
        )
        onnx.save(model, folder / f"{case.name}.onnx")
        numpy.savez(folder / f"{case.name}.npz", input=arrays[0], **{f"out{i}": v for i, v in enumerate(expected)})


def run(path, data):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: data})


def same(found, expected):
    return all(
        a.shape == b.shape and a.dtype == b.dtype and numpy.allclose(a, b, rtol=1e-3, atol=1e-5, equal_nan=True)
        for a, b in zip(found, expected)
    )


def check(folder):
    refused = collections.Counter()
    for line in (folder / "read.txt").read_text().splitlines():
        if "REFUSED" in line:
            name, why = line.split(".onnx: REFUSED ")
            refused[why.split(":")[0]] += 1
            print(f"refused {pathlib.Path(name).name}: {why}")
    agree, wrong = 0, 0
    for path in sorted((folder / "canonical").glob("*.onnx")):
        data = numpy.load(folder / f"{path.stem}.npz")
        expected = [data[f"out{i}"] for i in range(len(data.files) - 1)]
        try:
            found = run(path, data["input"])
        except Exception as error:
            print(f"NOT RUN {path.stem}: {str(error).splitlines()[0][:160]}")
            continue
        if same(found, expected):
            agree += 1
        elif same(found, run(folder / path.name, data["input"])):
            print(f"onnxruntime differs from the test on the original, too: {path.stem}")
        else:
            wrong += 1
            print(f"DIFFERS {path.stem}")
    print(f"{agree} agree, {wrong} differ, refused {dict(refused)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    action = {"write": write, "check": check}[sys.argv[1]]
    sys.exit(action(pathlib.Path(sys.argv[2])))
