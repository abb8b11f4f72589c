"""The network of this repository in PyTorch, with nothing but torch and safetensors.

Written by the validator: PLAN is the list of operations that the admission check worked out from config.json, and
what follows runs any such list. Names are those of model.safetensors, so that state_dict() is a package's weights.
"""

import os

import torch
import torch.nn.functional as F
from torch import nn

# (channels, height, width), and how a pixel from 0 to 255 becomes an input: (pixel / 255 - MEAN) / DEVIATION.
INPUT = None
MEAN = None
DEVIATION = None
PLAN = None


def load(folder=os.path.dirname(os.path.abspath(__file__))):
    """The network with the weights of `folder`, ready to answer: `load()(images)` gives logits."""
    from safetensors.torch import load_file

    network = Network()
    network.load_state_dict(load_file(os.path.join(folder, "model.safetensors")), strict=False)
    return network.eval()


def normalise(images):
    """Pixels from 0 to 255, [count, channels, height, width], as the network takes them."""
    mean, deviation = (torch.tensor(values).view(-1, 1, 1) for values in (MEAN, DEVIATION))
    return (images.float() / 255 - mean.to(images.device)) / deviation.to(images.device)


class Network(nn.Module):
    """Takes images with pixels from 0 to 255 and gives logits."""

    def __init__(self):
        super().__init__()
        build(self, PLAN)

    def forward(self, images):
        return run(self, PLAN, normalise(images))

    def load_state_dict(self, weights, strict=False):
        """Exactly the tensors that there are; only the counters of BatchNorm, which nobody needs, may be absent."""
        answer = super().load_state_dict(weights, strict=False)
        missing = [name for name in answer.missing_keys if not name.endswith("num_batches_tracked")]
        if missing or answer.unexpected_keys:
            raise ValueError(f"missing {missing}, unexpected {answer.unexpected_keys}")
        return answer


def put(root, name, part):
    """Hangs a module or a parameter under a dotted name."""
    *folders, last = name.split(".")
    for folder in folders:
        if folder not in root._modules:
            root.add_module(folder, nn.Module())
        root = root._modules[folder]
    setattr(root, last, part) if isinstance(part, nn.Parameter) else root.add_module(last, part)


def build(root, plan):
    """Makes every module that a plan names."""
    for op, *args in plan:
        if op == "linear":
            put(root, args[0], nn.Linear(args[1], args[2], bias=args[3]))
        elif op == "conv2d":
            name, inputs, outputs, kernel, stride, padding, groups, bias = args
            put(root, name, nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=bias))
        elif op == "batch_norm":
            put(root, args[0], nn.BatchNorm2d(args[1], eps=args[2]))
        elif op == "layer_norm":
            put(root, args[0], nn.LayerNorm(args[1], eps=args[2]))
        elif op == "class_token":
            put(root, args[0], nn.Parameter(torch.zeros(1, 1, args[1])))
        elif op == "position_embedding":
            put(root, args[0], nn.Parameter(torch.zeros(1, args[1], args[2])))
        elif op == "self_attention":
            for projection in PROJECTIONS:
                put(root, f"{args[0]}.{projection}", nn.Linear(args[1], args[1]))
        elif op == "residual":
            build(root, args[0])
            build(root, args[1])


PROJECTIONS = ("attention.query", "attention.key", "attention.value", "output.dense")


def run(root, plan, x):
    """Follows a plan."""
    for op, *args in plan:
        if op in ("linear", "batch_norm", "layer_norm"):
            x = root.get_submodule(args[0])(x)
        elif op == "conv2d":
            # Zeros to the left, to the right, above and below: not always as many on each side.
            x = root.get_submodule(args[0])(F.pad(x, args[5]))
        elif op == "relu":
            x = F.relu(x)
        elif op == "relu6":
            x = F.relu6(x)
        elif op == "gelu":
            x = F.gelu(x)
        elif op == "silu":
            x = F.silu(x)
        elif op == "flatten":
            x = x.flatten(1)
        elif op == "global_average_pool":
            x = x.mean((2, 3))
        elif op == "image_to_tokens":
            x = x.flatten(2).transpose(1, 2)
        elif op == "class_token":
            x = torch.cat([root.get_parameter(args[0]).expand(len(x), -1, -1), x], 1)
        elif op == "position_embedding":
            x = x + root.get_parameter(args[0])
        elif op == "self_attention":
            x = attend(*(root.get_submodule(f"{args[0]}.{projection}") for projection in PROJECTIONS), args[2], x)
        elif op == "first_token":
            x = x[:, 0]
        elif op == "mean_of_patches":
            x = x[:, 1:].mean(1)
        elif op == "residual":
            x = run(root, args[0], x) + run(root, args[1], x)
        else:
            raise ValueError(f"unknown operation {op}")
    return x


def attend(query, key, value, output, heads, x):
    """Softmax attention over the tokens, in `heads` parts."""
    parts = (layer(x).unflatten(2, (heads, -1)).transpose(1, 2) for layer in (query, key, value))
    return output(F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2))
