"""Writes engine/tests/data/exports.jsonl.gz: small networks as PyTorch exports them, each with an input and PyTorch's own
answer to it, in the format of engine_operators.py. The networks are those of onnx_fixtures.py, and one in 16-bit weights.

    PYTHONPATH=$($(scripts/python.sh onnx) -c "import site; print(*site.getsitepackages())") \\
        $(scripts/python.sh torch) scripts/engine_exports.py
"""

import pathlib
import tempfile
import warnings

import onnx
import torch
from engine_operators import DATA, line, write
from onnx_fixtures import convolutional, exports, hide_folders, prepared
from torch import nn

DTYPES = {torch.float32: onnx.TensorProto.FLOAT, torch.int64: onnx.TensorProto.INT64}


class Half(nn.Module):
    """Weights of 16 bits that are cast before they are used, as who saves bytes exports them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.first, self.second = (nn.Parameter(torch.randn(*size).half()) for size in ((49, 32), (32, 10)))

    def forward(self, x):
        return torch.relu(x.flatten(1) @ self.first.float()) @ self.second.float()


def fixed(path, inputs):
    """The file with its inputs' sizes as numbers."""
    model = onnx.load(path)
    for port, value in zip(model.graph.input, inputs, strict=True):
        port.CopyFrom(onnx.helper.make_tensor_value_info(port.name, DTYPES[value.dtype], value.shape))
    return model


def all_exports():
    yield from exports()
    yield "half-script", Half(), (torch.randn(1, 1, 7, 7),), {"dynamo": False, "do_constant_folding": False}
    torch.manual_seed(2)
    yield "conv-opset23", prepared(convolutional()), (torch.randn(1, 1, 28, 28),), {
        "dynamo": True, "external_data": False, "verbose": False, "opset_version": 23,
    }


def main():
    warnings.filterwarnings("ignore")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, model, inputs, arguments in all_exports():
            path = pathlib.Path(folder) / f"{name}.onnx"
            torch.onnx.export(model, inputs, path, **arguments)
            hide_folders(path)
            with torch.no_grad():
                logits = model(*inputs)
            file = fixed(path, inputs)
            file.graph.output[0].CopyFrom(
                onnx.helper.make_tensor_value_info(file.graph.output[0].name, onnx.TensorProto.FLOAT, logits.shape)
            )
            rows.append(line(name, file.SerializeToString(), [value.numpy() for value in inputs], [logits.numpy()]))
    write(DATA / "exports.jsonl.gz", rows)


if __name__ == "__main__":
    main()
