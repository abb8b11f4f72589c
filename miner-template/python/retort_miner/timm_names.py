"""Checkpoints under timm's names, renamed to the catalogue's.

torchvision's names are the catalogue's own, and timm's ``resnet`` uses them too. Only names change, and a fused
``qkv`` is cut in three; whether the shapes fit is said by ``load_state_dict`` and by ``retort miner check``.
"""

import re
import warnings

import torch
from torch import nn

from .epsilon import with_epsilon

VIT = [
    (r"^patch_embed\.proj\.", "vit.embeddings.patch_embeddings.projection."),
    (r"^cls_token$", "vit.embeddings.cls_token"),
    (r"^pos_embed$", "vit.embeddings.position_embeddings"),
    (r"^blocks\.(\d+)\.norm1\.", r"vit.encoder.layer.\1.layernorm_before."),
    (r"^blocks\.(\d+)\.norm2\.", r"vit.encoder.layer.\1.layernorm_after."),
    (r"^blocks\.(\d+)\.attn\.proj\.", r"vit.encoder.layer.\1.attention.output.dense."),
    (r"^blocks\.(\d+)\.mlp\.fc1\.", r"vit.encoder.layer.\1.intermediate.dense."),
    (r"^blocks\.(\d+)\.mlp\.fc2\.", r"vit.encoder.layer.\1.output.dense."),
    (r"^norm\.", "vit.layernorm."),
    (r"^head\.", "classifier."),
]


def from_timm(model: nn.Module | dict[str, torch.Tensor], architecture: dict) -> dict[str, torch.Tensor]:
    """The tensors of a timm model, or of its ``state_dict``, under the names that ``architecture`` has in the catalogue.

    Raises ``ValueError`` for a tensor that has no place in it: then the model is another one. So it is where the model's
    normalisations have another eps than ``architecture`` says; a ``state_dict`` doesn't show that.
    """
    kind = architecture["kind"]
    state = model
    if isinstance(model, nn.Module):
        state = model.state_dict()
        ppb = with_epsilon(architecture, model).get("norm_epsilon_ppb")
        if ppb != architecture.get("norm_epsilon_ppb"):
            raise ValueError(f'its normalisations have eps {ppb / 1e9:g}: write "norm_epsilon_ppb": {ppb} into the architecture')
    elif kind == "vit" and "pos_embed" in state and "norm_epsilon_ppb" not in architecture:
        warnings.warn(
            'timm\'s transformers have eps 1e-6, and this architecture says 1e-12: write "norm_epsilon_ppb": 1000 into it, or '
            "give from_timm the model itself, which shows it",
            stacklevel=2,
        )
    if kind == "vit":
        return _vit(state)
    # torchvision's names are the catalogue's already.
    if kind == "mobilenet_v2" and "features.0.0.weight" not in state:
        return _mobilenet_v2(state, architecture)
    return dict(state)


def _vit(state):
    renamed = {}
    for name, tensor in state.items():
        fused = re.match(r"^blocks\.(\d+)\.attn\.qkv\.(weight|bias)$", name)
        if fused:
            layer, part = fused.groups()
            for which, piece in zip(("query", "key", "value"), tensor.chunk(3)):
                renamed[f"vit.encoder.layer.{layer}.attention.attention.{which}.{part}"] = piece.contiguous()
            continue
        known = [re.subn(pattern, replacement, name) for pattern, replacement in VIT]
        known = [place for place, found in known if found]
        if not known and not name.startswith(("vit.", "classifier.")):
            raise ValueError(
                f"`{name}` has no place in the catalogue's vit: it knows Hugging Face's encoder and nothing else, no layer "
                "scale, no normalised queries, no registers, no normalisation behind the pooling"
            )
        renamed[known[0] if known else name] = tensor
    return renamed


def _mobilenet_v2(state, architecture):
    """timm numbers blocks by stage and names their parts; torchvision numbers everything in one sequence."""
    places, index = {}, 1
    for stage, row in enumerate(architecture["blocks"]):
        for repeat in range(row["repeats"]):
            places[stage, repeat] = (index, row["expansion"] != 1)
            index += 1
    outer = {
        "conv_stem": "features.0.0",
        "bn1": "features.0.1",
        "conv_head": f"features.{index}.0",
        "bn2": f"features.{index}.1",
        "classifier": "classifier.1",
    }
    # With and without an expansion before the depthwise convolution.
    inner = {
        True: {"conv_pw": "0.0", "bn1": "0.1", "conv_dw": "1.0", "bn2": "1.1", "conv_pwl": "2", "bn3": "3"},
        False: {"conv_dw": "0.0", "bn1": "0.1", "conv_pw": "1", "bn2": "2"},
    }
    renamed = {}
    for name, tensor in state.items():
        block = re.match(r"^blocks\.(\d+)\.(\d+)\.(\w+)\.(.+)$", name)
        if block:
            stage, repeat, part, rest = block.groups()
            place, expands = places.get((int(stage), int(repeat)), (None, False))
            if place is None or part not in inner[expands]:
                raise ValueError(
                    f"`{name}` has no place in the catalogue's mobilenet_v2 with {len(architecture['blocks'])} rows of blocks: "
                    "it knows inverted residuals of three convolutions and nothing else, no squeeze-and-excitation"
                )
            name = f"features.{place}.conv.{inner[expands][part]}.{rest}"
        else:
            part, _, rest = name.partition(".")
            if part not in outer:
                raise ValueError(f"`{name}` has no place in the catalogue's mobilenet_v2")
            name = f"{outer[part]}.{rest}"
        renamed[name] = tensor
    return renamed
