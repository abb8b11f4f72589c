"""Twenty small classifiers that PyTorch users really make, through both of PyTorch's exporters: whether each is admitted, and whether the
canonical file that is written of it has PyTorch's class on 200 items. Ends with 1 where any isn't or hasn't.

ZOO.py has a table `ZOO` of makers and image sizes by name, those with a `+` counted apart; the networks' weights are random, so labels
are settled by the largest of ten near numbers and a wrong one shows. It takes an hour or so of one core, most of it in the newer exporter.

    cargo build --release -p program --example canonical
    PYTHONPATH=$($(scripts/python.sh onnx) -c "import site; print(*site.getsitepackages())") \\
        $(scripts/python.sh torch) scripts/zoo.py ZOO.py target/release/examples/canonical [NAME ..]
"""

import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

# Its Linux wheel reports to its maker unless this is there before it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402

ITEMS = 200
EXPORTERS = {"export": {"dynamo": True}, "export, dynamo=False": {"dynamo": False}}


def zoo(path):
    """The table of a file that is no package."""
    spec = importlib.util.spec_from_file_location("zoo", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ZOO


def made(make, size):
    """A network as it is after training: statistics that folding has to get right."""
    torch.manual_seed(0)
    network = make(3, size).eval()
    for part in network.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 2)
    return network


def exported(network, size, options, path):
    """Written by `torch.onnx.export` as it stands in PyTorch's pages, with numbers in the file."""
    more = {"external_data": False} if options["dynamo"] else {}
    torch.onnx.export(network, (torch.randn(1, 3, size, size),), str(path), **options, **more)


def classes(path, items):
    """What onnxruntime says to items one by one."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [int(session.run(None, {name: item[None]})[0].argmax()) for item in items]


def tried(canonical, network, size, options):
    """What is wrong with a network, in words; empty where nothing is."""
    items = numpy.random.default_rng(1).standard_normal((ITEMS, 3, size, size), dtype=numpy.float32)
    with torch.no_grad():
        expected = [int(network(torch.from_numpy(item[None])).argmax()) for item in items]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        file, out = folder / "model.onnx", folder / "canonical"
        out.mkdir()
        try:
            exported(network, size, options, file)
        except Exception as error:  # noqa: BLE001 - whatever an exporter says is told
            return f"not exported: {str(error).splitlines()[0][:120]}"
        admitted = subprocess.run([canonical, out, file], capture_output=True, text=True)
        written = list(out.glob("*.onnx"))
        if admitted.returncode or not written:
            return f"not admitted: {(admitted.stdout + admitted.stderr).strip()[:200]}"
        same = sum(a == b for a, b in zip(classes(written[0], items), expected))
    return "" if same == ITEMS else f"{same} of {ITEMS} labels are PyTorch's"


def main():
    table, canonical, *names = sys.argv[1:]
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    bad = 0
    for name, (make, size) in zoo(table).items():
        if names and name not in names:
            continue
        network = made(make, size)
        for exporter, options in EXPORTERS.items():
            wrong = tried(canonical, network, size, options)
            bad += bool(wrong) and not name.startswith("+")
            print(f"{name:40} {exporter:22} {wrong or 'ok'}", flush=True)
    print(f"{bad} of them are wrong" if bad else "all are right")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
