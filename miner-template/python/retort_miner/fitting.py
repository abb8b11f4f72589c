"""Whether a model's tensors are those of its architecture in the catalogue: names and shapes, before anything is written.

It refuses only what a validator would refuse: what `miner check` reads over (a wrapper's prefix, counters, the other spelling of
transformers' ViT and its pooler) is read over here. Values and limits are the binary's to judge.
"""

import torch

from .binary import RetortError
from .students import build

# What transformers 5 calls the parts of a ViT's layer, beside what transformers 4 does.
VIT_PARTS = [
    (".attention.attention.query.", ".attention.q_proj."),
    (".attention.attention.key.", ".attention.k_proj."),
    (".attention.attention.value.", ".attention.v_proj."),
    (".attention.output.dense.", ".attention.o_proj."),
    (".intermediate.dense.", ".mlp.fc1."),
    (".output.dense.", ".mlp.fc2."),
]
POOLER = ("vit.pooler.dense.weight", "vit.pooler.dense.bias")


def fit(architecture: dict, state: dict[str, torch.Tensor], input: dict, labels: list[str]) -> None:
    """Raises :class:`RetortError`, which names the first tensor that isn't the architecture's."""
    found = _shapes(state)
    # The nearest of what the architecture leaves open.
    nearest = min((_differences(wanted, found) for wanted in _layouts(architecture, input, len(labels))), key=len)
    if nearest:
        raise RetortError(
            f"the model isn't the catalogue's {architecture['kind']} that its architecture says, with {len(labels)} labels: "
            f"{nearest[0]}; nothing is written"
        )


def _layouts(architecture, input, classes):
    """Shapes by name; several where names of tensors decide, as in a validator."""
    choices = [{}]
    if "batch_norm_fused" not in architecture:
        choices.append({"batch_norm_fused": True})
    if architecture["kind"] == "mlp" and "bias" not in architecture:
        choices.append({"bias": False})
    for choice in choices:
        try:
            # Without memory or random numbers: whoever saves goes on with the seed that there was.
            with torch.device("meta"):
                state = build(architecture | choice, input, classes).state_dict()
        except (TypeError, KeyError, ValueError) as problem:
            raise RetortError(f"{architecture} is no architecture of the catalogue: {problem}; nothing is written") from problem
        wanted = _shapes(state)
        yield wanted
        if architecture["kind"] == "vit":
            yield {_in_transformers_5(name): shape for name, shape in wanted.items()}


def _shapes(state):
    counters = ("num_batches_tracked", "n_averaged")
    return {name: list(tensor.shape) for name, tensor in state.items() if not name.endswith(counters)}


def _in_transformers_5(name):
    if not name.startswith("vit.encoder.layer."):
        return name
    name = name.replace("vit.encoder.layer.", "vit.layers.", 1)
    for ours, theirs in VIT_PARTS:
        if ours in name:
            return name.replace(ours, theirs)
    return name


def _differences(wanted, found):
    """What is wrong, in words, under the prefix that fits best."""
    prefixes = {""} | {name.removesuffix(own) for own in wanted for name in found if name.endswith("." + own)}
    return min((_under(prefix, wanted, found) for prefix in sorted(prefixes, key=len)), key=len)


def _under(prefix, wanted, found):
    wanted = {prefix + name: shape for name, shape in wanted.items()}
    read_over = {prefix + name for name in POOLER if any("vit." in own for own in wanted)}
    other = [
        f"`{name}` has shape {found[name]}, not {shape}" for name, shape in wanted.items() if found.get(name, shape) != shape
    ]
    missing = [f"`{name}` of shape {shape} is missing" for name, shape in wanted.items() if name not in found]
    stray = [f"`{name}` of shape {shape} has no place" for name, shape in found.items() if name not in wanted.keys() | read_over]
    return other + missing + stray
