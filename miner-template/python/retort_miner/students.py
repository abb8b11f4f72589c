"""The catalogue's families as PyTorch modules whose ``state_dict`` is a package's ``model.safetensors`` as it is.

Each function takes exactly the fields of its ``architecture`` in ``config.json``. Names are the libraries' own:
torchvision's for ``resnet`` and ``mobilenet_v2``, Hugging Face's ``ViTForImageClassification`` for ``vit``.
"""

import torch
from torch import nn


def build(architecture: dict, input: dict, classes: int) -> nn.Module:
    """The untrained module of an architecture, such as ``{"kind": "resnet", "width": 16, "blocks": [1, 1, 1]}``."""
    fields = {name: value for name, value in architecture.items() if name not in STYLE}
    family = FAMILIES.get(architecture["kind"])
    if family is None:
        raise ValueError(f"no family is called {architecture['kind']!r}; there are {', '.join(FAMILIES)}")
    model = family(input, classes, **fields)
    if "activation" in architecture:
        _activate(model, architecture["activation"])
    if "norm_epsilon_ppb" in architecture:
        for module in model.modules():
            if isinstance(module, (nn.BatchNorm2d, nn.LayerNorm)):
                module.eps = architecture["norm_epsilon_ppb"] / 1e9
    if architecture.get("batch_norm_fused"):
        _fuse(model)
    pad = PADDINGS[architecture.get("padding", "symmetric")]
    if pad is not None:
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.padding = (0, 0)
                module.register_forward_pre_hook(pad)
    return model


# Fields that say what shapes don't show: not the families' own.
STYLE = ("kind", "activation", "norm_epsilon_ppb", "batch_norm_fused", "padding")


def _fuse(model):
    """Convolutions with biases and nothing behind them: what fusing batch normalisations leaves."""
    for module in model.modules():
        for child, part in module.named_children():
            if isinstance(part, nn.BatchNorm2d):
                setattr(module, child, nn.Identity())
            elif isinstance(part, nn.Conv2d) and part.bias is None:
                biased = nn.Conv2d(
                    part.in_channels, part.out_channels, part.kernel_size, part.stride, part.padding, groups=part.groups
                )
                setattr(module, child, biased)


def _pad_same(conv, inputs):
    """TensorFlow's SAME: ceil(size / stride) outputs, and of an odd number of zeros the larger half behind."""
    (images,) = inputs
    zeros = []
    for size, kernel, stride in zip(images.shape[:1:-1], conv.kernel_size[::-1], conv.stride[::-1]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        zeros += [total // 2, total - total // 2]
    return (nn.functional.pad(images, zeros),)


def _pad_keras(conv, inputs):
    """Keras's MobileNets: below and to the right where a convolution halves, half a kernel on each side where it doesn't."""
    (images,) = inputs
    (kernel, _), (stride, _) = conv.kernel_size, conv.stride
    half, behind = kernel // 2, max(kernel - stride, 0)
    return (nn.functional.pad(images, [half] * 4 if stride == 1 else [0, behind, 0, behind]),)


PADDINGS = {"symmetric": None, "same": _pad_same, "keras": _pad_keras}


ACTIVATIONS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "gelu": nn.GELU, "silu": nn.SiLU}


def _activate(model, name):
    """Puts another non-linearity wherever the family has its own."""
    if name not in ACTIVATIONS:
        raise ValueError(f"no activation is called {name!r}; there are {', '.join(ACTIVATIONS)}")
    for module in model.modules():
        if hasattr(module, "activation"):
            module.activation = ACTIVATIONS[name]()
        for child, part in module.named_children():
            if isinstance(part, (nn.ReLU, nn.ReLU6)):
                setattr(module, child, ACTIVATIONS[name]())


def mlp(input, classes, hidden, bias=True):
    widths = [input["channels"] * input["height"] * input["width"], *hidden]
    layers = [nn.Flatten()]
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [nn.Linear(inputs, outputs, bias), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], classes, bias))


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.activation = nn.ReLU()
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn2(self.conv2(self.activation(self.bn1(self.conv1(x)))))
        return self.activation(y + (x if self.downsample is None else self.downsample(x)))


class Resnet(nn.Module):
    """The residual network for small images of He et al. (2015, section 4.2)."""

    def __init__(self, input, classes, width, blocks, stem_stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(input["channels"], width, 3, stem_stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.activation = nn.ReLU()
        self.stages = [f"layer{stage + 1}" for stage in range(len(blocks))]
        channels = width
        for stage, count in enumerate(blocks):
            outputs, layer = width * 2**stage, []
            for block in range(count):
                layer.append(BasicBlock(channels, outputs, 2 if stage > 0 and block == 0 else 1))
                channels = outputs
            setattr(self, self.stages[stage], nn.Sequential(*layer))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        x = self.activation(self.bn1(self.conv1(x)))
        for stage in self.stages:
            x = getattr(self, stage)(x)
        return self.fc(x.mean((2, 3)))


def _conv_bn(inputs, outputs, kernel, stride, groups=1, activation=None):
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return layers + ([activation()] if activation else [])


class DepthwiseCnn(nn.Module):
    """MobileNetV1 (Howard et al. 2017)."""

    def __init__(self, input, classes, stem, blocks, stem_stride=1):
        super().__init__()
        layers, channels = [nn.Sequential(*_conv_bn(input["channels"], stem, 3, stem_stride, 1, nn.ReLU))], stem
        for block in blocks:
            depthwise = _conv_bn(channels, channels, 3, block["stride"], channels, nn.ReLU)
            layers.append(nn.Sequential(*depthwise, *_conv_bn(channels, block["channels"], 1, 1, 1, nn.ReLU)))
            channels = block["channels"]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class InvertedResidual(nn.Module):
    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        hidden, layers = inputs * expansion, []
        if expansion != 1:
            layers.append(nn.Sequential(*_conv_bn(inputs, hidden, 1, 1, 1, nn.ReLU6)))
        layers.append(nn.Sequential(*_conv_bn(hidden, hidden, 3, stride, hidden, nn.ReLU6)))
        self.conv = nn.Sequential(*layers, *_conv_bn(hidden, outputs, 1, 1))
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.conv(x) if self.shortcut else self.conv(x)


class MobileNetV2(nn.Module):
    """Sandler et al. (2018)."""

    def __init__(self, input, classes, stem, blocks, head, stem_stride=1):
        super().__init__()
        features, channels = [nn.Sequential(*_conv_bn(input["channels"], stem, 3, stem_stride, 1, nn.ReLU6))], stem
        for row in blocks:
            for repeat in range(row["repeats"]):
                stride = row["stride"] if repeat == 0 else 1
                features.append(InvertedResidual(channels, row["channels"], stride, row["expansion"]))
                channels = row["channels"]
        features.append(nn.Sequential(*_conv_bn(channels, head, 1, 1, 1, nn.ReLU6)))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(head, classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class Vit(nn.Module):
    """A small vision transformer (Dosovitskiy et al. 2020), under Hugging Face's names."""

    def __init__(self, input, classes, patch, width, depth, heads, mlp_width, pooling="class_token"):
        super().__init__()
        self.pooling = pooling
        patches = (input["height"] // patch) * (input["width"] // patch)
        self.vit = _named(
            embeddings=_Embeddings(input["channels"], patch, width, patches),
            encoder=_named(layer=nn.ModuleList(_Layer(width, heads, mlp_width) for _ in range(depth))),
            layernorm=nn.LayerNorm(width, eps=1e-12),
        )
        self.classifier = nn.Linear(width, classes)

    def forward(self, x):
        x = self.vit.embeddings(x)
        for layer in self.vit.encoder.layer:
            x = layer(x)
        x = self.vit.layernorm(x)
        return self.classifier(x[:, 0] if self.pooling == "class_token" else x[:, 1:].mean(1))


class _Embeddings(nn.Module):
    def __init__(self, channels, patch, width, patches):
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.position_embeddings = nn.Parameter(torch.randn(1, patches + 1, width) * 0.02)
        self.patch_embeddings = _named(projection=nn.Conv2d(channels, width, patch, patch))

    def forward(self, x):
        tokens = self.patch_embeddings.projection(x).flatten(2).transpose(1, 2)
        return torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], 1) + self.position_embeddings


class _Layer(nn.Module):
    def __init__(self, width, heads, mlp_width):
        super().__init__()
        self.heads = heads
        self.activation = nn.GELU()
        linears = {name: nn.Linear(width, width) for name in ("query", "key", "value")}
        self.attention = _named(attention=_named(**linears), output=_named(dense=nn.Linear(width, width)))
        self.intermediate = _named(dense=nn.Linear(width, mlp_width))
        self.output = _named(dense=nn.Linear(mlp_width, width))
        self.layernorm_before = nn.LayerNorm(width, eps=1e-12)
        self.layernorm_after = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x):
        x = x + self._attend(self.layernorm_before(x))
        hidden = self.activation(self.intermediate.dense(self.layernorm_after(x)))
        return x + self.output.dense(hidden)

    def _attend(self, x):
        count, tokens, width = x.shape
        parts = self.attention.attention

        def split(linear):
            return linear(x).view(count, tokens, self.heads, width // self.heads).transpose(1, 2)

        mixed = nn.functional.scaled_dot_product_attention(split(parts.query), split(parts.key), split(parts.value))
        return self.attention.output.dense(mixed.transpose(1, 2).reshape(count, tokens, width))


def _named(**modules):
    """A module that only gives its children their names."""
    return nn.ModuleDict(modules)


FAMILIES = {"mlp": mlp, "resnet": Resnet, "depthwise_cnn": DepthwiseCnn, "mobilenet_v2": MobileNetV2, "vit": Vit}
