"""Writes models/fixtures/onnx: packages of the catalogue that are in this repository, exported by PyTorch as ONNX, and what
Python's onnxruntime says with them of the first test images of Fashion-MNIST (logits, f32 little-endian, image by image).
By these it is shown that a student is recognised in either format. `split` is the perceptron as the bare call writes it, with its
numbers in a file beside it.

    PYTHONPATH=$($(scripts/python.sh onnx) -c "import site; print(*site.getsitepackages())") \\
        $(scripts/python.sh torch) scripts/onnx_students.py
"""

import gzip
import json
import os
import pathlib
import sys

# onnxruntime's Linux wheel reports to its maker unless this is there before it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = REPOSITORY / "models/fixtures/onnx"
sys.path.append(str(REPOSITORY / "miner-template/python/retort_miner"))

import students  # noqa: E402

STUDENTS = {"resnet": "models/fixtures/pytorch_student", "mlp": "models/scale/mlp-12k-train-3"}
ITEMS = 256


class Classifier(torch.nn.Module):
    """Logits alone, whatever the network was trained with."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(images)


def network(folder):
    config = json.loads((folder / "config.json").read_text())
    model = students.build(config["architecture"], config["input"], len(config["labels"]))
    state = {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}
    model.load_state_dict(state, strict=False)
    return config, Classifier(model).eval()


def images(config):
    with gzip.open(REPOSITORY / "datasets/fashion-mnist/t10k-images-idx3-ubyte.gz") as file:
        pixels = numpy.frombuffer(file.read(), numpy.uint8, offset=16)[: ITEMS * 784].reshape(ITEMS, 1, 28, 28)
    mean, deviation = config["input"]["mean_ppm"][0] / 1e6, config["input"]["deviation_ppm"][0] / 1e6
    return ((pixels / 255.0 - mean) / deviation).astype(numpy.float32)


def bare(model, given):
    """What nobody tells anything: torch 2.9 puts the numbers into model.onnx.data."""
    path = FIXTURES / "split/model.onnx"
    path.parent.mkdir(exist_ok=True)
    torch.onnx.export(model, (torch.from_numpy(given[:1]),), path)
    graph = onnx.load(path, load_external_data=False)
    for node in graph.graph.node:
        # Stack traces name folders of this machine.
        del node.metadata_props[:]
    path.write_bytes(graph.SerializeToString())
    print("split", *((file.name, file.stat().st_size) for file in sorted(path.parent.iterdir())))


def main():
    for name, source in STUDENTS.items():
        folder = FIXTURES / name
        folder.mkdir(parents=True, exist_ok=True)
        config, model = network(REPOSITORY / source)
        given = images(config)
        torch.onnx.export(
            model, (torch.from_numpy(given[:1]),), folder / "model.onnx", dynamo=False, input_names=["images"],
            output_names=["logits"], dynamic_axes={"images": {0: "batch"}, "logits": {0: "batch"}},
        )
        onnx_config = {"format": "retort/2", "kind": "onnx", "labels": config["labels"]}
        (folder / "config.json").write_text(json.dumps(onnx_config) + "\n")
        session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        said = numpy.concatenate([session.run(["logits"], {"images": item[None]})[0] for item in given])
        said.astype("<f4").tofile(folder / "logits.f32")
        with torch.no_grad():
            off = float((model(torch.from_numpy(given)) - torch.from_numpy(said)).abs().max())
        if name == "mlp":
            bare(model, given)
        print(name, (folder / "model.onnx").stat().st_size, "bytes, off PyTorch by", off)


main()
