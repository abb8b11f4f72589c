"""Writes the ONNX files of program/tests/fixtures, as PyTorch's two exporters and onnxruntime's quantiser make them, and
what `onnx.shape_inference` finds of their shapes. Small networks with random weights; what counts is what exporters leave.

    PYTHONPATH=$($(scripts/python.sh onnx) -c "import site; print(*site.getsitepackages())") \\
        $(scripts/python.sh torch) scripts/onnx_fixtures.py
"""

import json
import os
import pathlib
import sys
import warnings

# onnxruntime's Linux wheel reports to its maker unless this is there before it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy  # noqa: E402
import onnx  # noqa: E402
import torch  # noqa: E402
from onnx import shape_inference  # noqa: E402
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static  # noqa: E402
from torch import nn  # noqa: E402

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = REPOSITORY / "program/tests/fixtures"
sys.path.append(str(REPOSITORY / "miner-template/python/retort_miner"))

import students  # noqa: E402


class SqueezeExcite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, x):
        scale = self.expand(torch.relu(self.reduce(x.mean((2, 3), keepdim=True))))
        return x * nn.functional.hardsigmoid(scale)


class Shuffle(nn.Module):
    def forward(self, x):
        batch, channels, height, width = x.shape
        x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2)
        return torch.cat(x.reshape(batch, channels, height, width).chunk(2, 1)[::-1], 1)


def convolutional():
    """Strided, depthwise and dilated convolutions, a shuffle of channels, pooling that rounds up, a padded window."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.Hardswish(),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
        SqueezeExcite(8), Shuffle(), nn.MaxPool2d(3, stride=2, ceil_mode=True), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 1), nn.SiLU(), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(),
        nn.Linear(16, 10),
    )


class Vit(nn.Module):
    """Patches, a class token, one encoder layer as torch.nn has it."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, 16, 7, stride=7)
        self.token, self.place = nn.Parameter(torch.randn(1, 1, 16)), nn.Parameter(torch.randn(1, 17, 16))
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, activation="gelu", batch_first=True, norm_first=True)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        return self.head(self.layer(x)[:, 0])


class Text(nn.Module):
    """An encoder over any length up to 128, its mask, and the mean of what isn't padding."""

    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(100, 16), nn.Embedding(128, 16)
        self.query, self.key, self.value = (nn.Linear(16, 16) for _ in range(3))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 4)

    def heads(self, x):
        return x.view(x.shape[0], x.shape[1], 2, 8).transpose(1, 2)

    def forward(self, ids, mask):
        x = self.words(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))
        query, key, value = self.heads(self.query(x)), self.heads(self.key(x)), self.heads(self.value(x))
        scores = query @ key.transpose(2, 3) / key.shape[-1] ** 0.5
        scores = scores.masked_fill(mask[:, None, None, :] == 0, -1e4)
        x = self.norm(x + (scores.softmax(-1) @ value).transpose(1, 2).reshape(x.shape))
        weights = mask[:, :, None].float()
        return self.head((x * weights).sum(1) / weights.sum(1).clamp(min=1))


class Recurrent(nn.Module):
    """Both recurrent layers, one of them in two directions."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.LSTM(8, 6, batch_first=True, bidirectional=True), nn.GRU(12, 6, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x, _ = self.first(x)
        _, last = self.second(x)
        return self.head(last[-1])


def resnet():
    """A network of the catalogue, whose costs both kinds of program must agree on."""
    architecture = {"kind": "resnet", "width": 4, "blocks": [1, 1, 1], "stem_stride": 2}
    return students.build(architecture, {"channels": 1, "height": 28, "width": 28}, 10)


def perceptron():
    return nn.Sequential(nn.Flatten(), nn.Linear(49, 32), nn.ReLU(), nn.Linear(32, 10))


def prepared(model):
    """The model for inference, with running statistics as training leaves them."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return model.eval()


class Items(CalibrationDataReader):
    def __init__(self, name, shape):
        self.items = iter([{name: numpy.random.default_rng(i).normal(size=shape).astype("float32")} for i in range(4)])

    def get_next(self):
        return next(self.items, None)


def names(count, word):
    return [f"{word}{index}" for index in range(count)] if count > 1 else [word]


def exports():
    """Name, model, inputs, further arguments of each export."""
    image = torch.randn(1, 1, 28, 28)
    text = (torch.randint(0, 100, (1, 32)), torch.ones(1, 32, dtype=torch.int64))
    axes = {"ids": {0: "batch", 1: "length"}, "mask": {0: "batch", 1: "length"}, "logits": {0: "batch"}}
    named = {"input_names": ["ids", "mask"], "output_names": ["logits"], "dynamic_axes": axes}
    torch.manual_seed(0)
    conv = prepared(convolutional())
    yield "conv-script", conv, (image,), {"dynamo": False}
    yield "conv-dynamo", conv, (image,), {"dynamo": True, "external_data": False, "verbose": False}
    yield "vit-script", prepared(Vit()), (image,), {"dynamo": False, "opset_version": 17}
    yield "text-script", prepared(Text()), text, {"dynamo": False, "opset_version": 14, **named}
    yield "recurrent-script", prepared(Recurrent()), (torch.randn(1, 5, 8),), {"dynamo": False}
    yield "resnet-script", prepared(resnet()), (image,), {"dynamo": False}
    yield "mlp-script", prepared(perceptron()), (torch.randn(1, 1, 7, 7),), {"dynamo": False}


def shapes(path, sizes):
    """Shapes of values by name, where sizes are numbers once inputs have theirs."""
    model = onnx.load(path)
    known = {initialiser.name for initialiser in model.graph.initializer}
    for port in model.graph.input:
        for axis, dim in enumerate(port.type.tensor_type.shape.dim):
            if port.name not in known and dim.dim_param:
                dim.dim_value = sizes[axis]
    del model.graph.value_info[:]
    for port in model.graph.output:
        port.type.tensor_type.ClearField("shape")
    inferred = shape_inference.infer_shapes(model, data_prop=True)
    found = {}
    for value in [*inferred.graph.value_info, *inferred.graph.output]:
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            found[value.name] = [dim.dim_value for dim in dims]
    return found


def hide_folders(path):
    """Takes this machine's folders out of the stack traces that an exporter writes beside each node."""
    model = onnx.load(path)
    for node in model.graph.node:
        for entry in node.metadata_props:
            for folder in (pathlib.Path(torch.__file__).parents[1], REPOSITORY):
                entry.value = entry.value.replace(str(folder), "/home/student")
    onnx.save(model, path)


def main():
    warnings.filterwarnings("ignore")
    FIXTURES.mkdir(exist_ok=True)
    for name, model, inputs, arguments in exports():
        torch.onnx.export(model, inputs, FIXTURES / f"{name}.onnx", **arguments)
        hide_folders(FIXTURES / f"{name}.onnx")
    original = FIXTURES / "conv-script.onnx"
    port = onnx.load(original).graph.input[0].name
    quantize_static(
        original, FIXTURES / "conv-qdq.onnx", Items(port, (1, 1, 28, 28)),
        quant_format=QuantFormat.QDQ, per_channel=True, weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8,
    )
    found = {path.stem: shapes(path, (1, 32)) for path in sorted(FIXTURES.glob("*.onnx"))}
    (FIXTURES / "shapes.json").write_text(json.dumps(found, indent=0, sort_keys=True) + "\n")
    for path in sorted(FIXTURES.glob("*")):
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
