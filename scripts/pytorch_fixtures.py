#!/usr/bin/env python3
"""Makes models/fixtures: small PyTorch models of every family, saved as a PyTorch user would save them.

    scripts/pytorch_fixtures.py [--data DIR] [--out DIR] [--only FAMILY]

Each fixture is a package (config.json and the UNCHANGED `save_file(model.state_dict(), ...)`) plus expected.safetensors:
the first 16 Fashion-MNIST test images as u8 and the logits that PyTorch computes for them in f32 and eval mode. The
tests in models/tests/pytorch.rs compare our interpreter with these. Names come from the libraries themselves:
torchvision's BasicBlock and MobileNetV2, Hugging Face's ViTForImageClassification, nn.Sequential for the rest.

pytorch_student is trained for real (see its README.md); it stands on the board as "the PyTorch user's model".

Needs torch 2.9, torchvision 0.24, transformers 4.57 and safetensors; not part of any build. The results are committed,
because another torch version or thread count gives other (equally good) weights.
"""

import argparse
import gzip
import json
import pathlib
import sys

import numpy
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import MobileNetV2
from torchvision.models.resnet import BasicBlock
from transformers import ViTConfig, ViTForImageClassification

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
sys.path.append(str(REPOSITORY / "miner-template" / "python"))

import retort_miner  # noqa: E402

LABELS = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
MEAN_PPM, DEVIATION_PPM = 286_040, 353_020
EXPECTED_IMAGES = 16


# The models. Each function takes exactly the fields of its `architecture` in config.json.


def mlp(hidden):
    widths = [28 * 28, *hidden]
    layers = [nn.Flatten()]
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 10))


class Resnet(nn.Module):
    """The CIFAR residual network of He et al. (2015, section 4.2) from torchvision's own blocks."""

    def __init__(self, width, blocks, stem_stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, stem_stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.stages = [f"layer{i + 1}" for i in range(len(blocks))]
        channels = width
        for stage, (name, count) in enumerate(zip(self.stages, blocks)):
            layer = []
            for block in range(count):
                outputs, stride = width * 2**stage, 2 if stage > 0 and block == 0 else 1
                downsample = None
                if stride != 1 or channels != outputs:
                    projection = nn.Conv2d(channels, outputs, 1, stride, bias=False)
                    downsample = nn.Sequential(projection, nn.BatchNorm2d(outputs))
                layer.append(BasicBlock(channels, outputs, stride, downsample))
                channels = outputs
            setattr(self, name, nn.Sequential(*layer))
        self.fc = nn.Linear(channels, 10)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        for name in self.stages:
            x = getattr(self, name)(x)
        return self.fc(x.mean((2, 3)))


class DepthwiseCnn(nn.Module):
    """MobileNetV1 (Howard et al. 2017) written the common way, with nested `nn.Sequential`s."""

    def __init__(self, stem, stem_stride, blocks):
        super().__init__()

        def conv(inputs, outputs, kernel, stride, groups=1):
            layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
            return [layer, nn.BatchNorm2d(outputs), nn.ReLU()]

        layers, channels = [nn.Sequential(*conv(1, stem, 3, stem_stride))], stem
        for block in blocks:
            depthwise = conv(channels, channels, 3, block["stride"], groups=channels)
            layers.append(nn.Sequential(*depthwise, *conv(channels, block["channels"], 1, 1)))
            channels = block["channels"]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, 10)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


def mobilenet_v2(stem, stem_stride, blocks, head):
    """torchvision's own network; only what its constructor can't express is replaced, under the same names."""
    rows = [[row["expansion"], row["channels"], row["repeats"], row["stride"]] for row in blocks]
    model = MobileNetV2(num_classes=10, inverted_residual_setting=rows, round_nearest=1)
    assert stem == 32, "torchvision's first block expects 32 channels"
    model.features[0][0] = nn.Conv2d(1, stem, 3, stem_stride, 1, bias=False)
    last = model.features[-1]
    last[0], last[1] = nn.Conv2d(last[0].in_channels, head, 1, bias=False), nn.BatchNorm2d(head)
    model.classifier[1] = nn.Linear(head, 10)
    return model


class Logits(nn.Module):
    """Calls a Hugging Face model as the others are called."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(pixel_values=x).logits

    def state_dict(self, **options):
        return self.model.state_dict(**options)


def vit(patch, width, depth, heads, mlp_width, norm_epsilon_ppb=None):
    config = ViTConfig(
        image_size=28,
        patch_size=patch,
        num_channels=1,
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=mlp_width,
        num_labels=10,
        layer_norm_eps=1e-12 if norm_epsilon_ppb is None else norm_epsilon_ppb / 1e9,
    )
    return Logits(ViTForImageClassification(config))


FAMILIES = {"mlp": mlp, "resnet": Resnet, "depthwise_cnn": DepthwiseCnn, "mobilenet_v2": mobilenet_v2, "vit": vit}

FIXTURES = {
    "mlp": {"kind": "mlp", "hidden": [48, 32]},
    "resnet": {"kind": "resnet", "width": 6, "blocks": [1, 2, 1]},
    "depthwise_cnn": {
        "kind": "depthwise_cnn",
        "stem": 8,
        "stem_stride": 2,
        "blocks": [{"channels": 16, "stride": 1}, {"channels": 32, "stride": 2}, {"channels": 32, "stride": 1}],
    },
    "mobilenet_v2": {
        "kind": "mobilenet_v2",
        "stem": 32,
        "stem_stride": 2,
        "blocks": [
            {"expansion": 1, "channels": 8, "repeats": 1, "stride": 1},
            {"expansion": 4, "channels": 12, "repeats": 2, "stride": 2},
            {"expansion": 4, "channels": 16, "repeats": 2, "stride": 2},
        ],
        "head": 64,
    },
    "vit": {"kind": "vit", "patch": 7, "width": 32, "depth": 2, "heads": 4, "mlp_width": 64},
}

# Transformers whose tokens are so faint that what their normalisations add to a variance decides: timm's and
# torchvision's 1e-6, and PyTorch's own 1e-5.
FAINT = {
    "vit_timm": {
        "kind": "vit", "patch": 7, "width": 16, "depth": 1, "heads": 2, "mlp_width": 32, "norm_epsilon_ppb": 1_000,
    },
    "vit_torch": {
        "kind": "vit", "patch": 7, "width": 16, "depth": 1, "heads": 2, "mlp_width": 32, "norm_epsilon_ppb": 10_000,
    },
}  # fmt: skip

STUDENT = {"kind": "resnet", "width": 12, "blocks": [1, 1, 1], "stem_stride": 2}


# Data and training.


class Data:
    """Fashion-MNIST as u8 images `[n, 1, 28, 28]` and i64 labels."""

    def __init__(self, folder):
        self.train = self._part(folder, "train")
        self.test = self._part(folder, "t10k")

    @staticmethod
    def _part(folder, part):
        def read(name, header):
            with gzip.open(folder / f"{part}-{name}-ubyte.gz") as file:
                return torch.from_numpy(numpy.frombuffer(file.read(), numpy.uint8, offset=header).copy())

        return read("images-idx3", 16).reshape(-1, 1, 28, 28), read("labels-idx1", 8).long()


def normalised(images):
    """What the validator feeds: (pixel / 255 - mean) / deviation, in f32."""
    return (images.float() / 255 - MEAN_PPM / 1e6) / (DEVIATION_PPM / 1e6)


def train(model, data, steps, batch, rate):
    """A plain loop with a one-cycle schedule, on labels; random shifts and flips as augmentation."""
    images, labels = data.train
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    model.train()
    order = torch.randperm(len(labels))
    for step in range(steps):
        start = step * batch % (len(labels) - batch)
        chosen = order[start : start + batch]
        x = normalised(images[chosen])
        if torch.rand(()) < 0.5:
            x = x.flip(3)
        x = x.roll(torch.randint(-1, 2, (2,)).tolist(), (2, 3))
        loss = nn.functional.cross_entropy(model(x), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            print(f"  step {step + 1}/{steps}, loss {loss.item():.3f}", flush=True)
    model.eval()


@torch.inference_mode()
def accuracy(model, data):
    images, labels = data.test
    hits = sum((model(normalised(x)).argmax(1) == y).sum() for x, y in zip(images.split(500), labels.split(500)))
    return hits.item() / len(labels)


# Writing packages.


def build(architecture):
    if architecture in STYLED.values():
        return retort_miner.build(architecture, {"channels": 1, "height": 28, "width": 28}, 10)
    fields = {name: value for name, value in architecture.items() if name != "kind"}
    return FAMILIES[architecture["kind"]](**fields)


def save_package(folder, architecture, tensors):
    """The package: the state_dict as it is, and the description."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    config = {
        "format": "retort/1",
        "architecture": architecture,
        "input": {
            "channels": 1,
            "height": 28,
            "width": 28,
            "mean_ppm": [MEAN_PPM],
            "deviation_ppm": [DEVIATION_PPM],
        },
        "labels": LABELS,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


@torch.inference_mode()
def save_expected(folder, model, data):
    images = data.test[0][:EXPECTED_IMAGES].contiguous()
    save_file({"images": images, "logits": model(normalised(images))}, folder / "expected.safetensors")


# What shapes don't show, said by fields; the template's own modules.
STYLED = {
    "mlp_without_bias": {"kind": "mlp", "hidden": [16], "bias": False, "activation": "gelu"},
    "depthwise_silu": {
        "kind": "depthwise_cnn", "stem": 8, "stem_stride": 2, "blocks": [{"channels": 16, "stride": 2}],
        "activation": "silu", "norm_epsilon_ppb": 1_000_000,
    },
    "resnet_silu": {"kind": "resnet", "width": 6, "blocks": [1, 1], "stem_stride": 2, "activation": "silu"},
    "vit_mean": {
        "kind": "vit", "patch": 7, "width": 16, "depth": 1, "heads": 2, "mlp_width": 32, "activation": "relu",
        "pooling": "mean_of_patches",
    },
    "depthwise_same": {
        "kind": "depthwise_cnn", "stem": 8, "stem_stride": 2, "padding": "same",
        "blocks": [{"channels": 16, "stride": 2}, {"channels": 24, "stride": 2}],
    },
    "resnet_fused": {"kind": "resnet", "width": 6, "blocks": [1, 1], "stem_stride": 2, "batch_norm_fused": True},
}  # fmt: skip


def save_cast(folder, architecture, model, data, dtype):
    """The state_dict in 16 bits; its logits are those of the cast weights widened to f32 again."""
    cast = {k: v.to(dtype) if v.is_floating_point() else v for k, v in model.state_dict().items()}
    save_package(folder, architecture, cast)
    widened = build(architecture)
    widened.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in cast.items()})
    save_expected(folder, widened.eval(), data)


def report(name, model, data):
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{name}: {parameters} parameters, test accuracy {accuracy(model, data):.4f}", flush=True)


def make_fixture(name, architecture, out, data):
    torch.manual_seed(7)
    model = build(architecture)
    train(model, data, steps=150, batch=64, rate=4e-3)
    # Names of tensors tell what was fused; whoever fuses writes no field.
    written = {field: value for field, value in architecture.items() if field != "batch_norm_fused"}
    save_package(out / name, written, model.state_dict())
    save_expected(out / name, model, data)
    report(name, model, data)
    if name == "resnet":
        save_cast(out / "resnet_f16", architecture, model, data, torch.float16)
        save_cast(out / "resnet_bf16", architecture, model, data, torch.bfloat16)


@torch.no_grad()
def make_faint(name, architecture, out, data):
    """Untrained: training would make the tokens strong."""
    torch.manual_seed(7)
    model = build(architecture).eval()
    epsilon = architecture["norm_epsilon_ppb"] / 1e9
    for part, values in model.model.named_parameters():
        if "embeddings" in part or ".output.dense." in part:
            values.normal_(0, 0.2 * epsilon**0.5)
        elif "layernorm" not in part:
            values.normal_(0, 0.5)
    save_package(out / name, architecture, model.state_dict())
    save_expected(out / name, model, data)
    report(name, model, data)


def make_student(out, data, epochs):
    torch.manual_seed(7)
    model = build(STUDENT)
    batch = 128
    train(model, data, steps=epochs * 60_000 // batch, batch=batch, rate=1e-2)
    save_package(out / "pytorch_student", STUDENT, model.state_dict())
    save_expected(out / "pytorch_student", model, data)
    report("pytorch_student", model, data)


def main():
    parser = argparse.ArgumentParser(description="Makes models/fixtures from PyTorch models.")
    parser.add_argument("--data", type=pathlib.Path, default=REPOSITORY / "datasets" / "fashion-mnist")
    parser.add_argument("--out", type=pathlib.Path, default=REPOSITORY / "models" / "fixtures")
    parser.add_argument("--only", choices=[*FIXTURES, *STYLED, *FAINT, "pytorch_student"], action="append")
    parser.add_argument("--student-epochs", type=int, default=6)
    options = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    data = Data(options.data)
    wanted = options.only or [*FIXTURES, *STYLED, *FAINT, "pytorch_student"]
    for name in wanted:
        if name == "pytorch_student":
            make_student(options.out, data, options.student_epochs)
        elif name in FAINT:
            make_faint(name, FAINT[name], options.out, data)
        else:
            make_fixture(name, (FIXTURES | STYLED)[name], options.out, data)


if __name__ == "__main__":
    main()
