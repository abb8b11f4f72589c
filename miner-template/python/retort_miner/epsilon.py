"""What a model's normalisations add to a variance, as the catalogue says it: no shape shows it.

It reads modules; it knows no names of tensors and writes no files.
"""

from torch import nn

BATCH_NORM = nn.modules.batchnorm._BatchNorm
# What each family normalises by, and what is assumed of it where `norm_epsilon_ppb` isn't written.
NORMS = {
    "resnet": (BATCH_NORM, 1e-5),
    "depthwise_cnn": (BATCH_NORM, 1e-5),
    "mobilenet_v2": (BATCH_NORM, 1e-5),
    "vit": (nn.LayerNorm, 1e-12),
}


def with_epsilon(architecture: dict, model: nn.Module) -> dict:
    """``architecture`` with the ``norm_epsilon_ppb`` of ``model``, where that isn't the family's own.

    Raises ``ValueError`` where normalisations differ among each other, or from what ``architecture`` says itself.
    """
    norm, assumed = NORMS.get(architecture["kind"], ((), None))
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, norm):
            found.setdefault(float(module.eps), name)
    if len(found) > 1:
        listed = " and ".join(f"{eps:g} in `{name}`" for eps, name in found.items())
        raise ValueError(f"the catalogue's {architecture['kind']} has one eps for all its normalisations, and these have {listed}")
    for eps, name in found.items():
        ppb = architecture.get("norm_epsilon_ppb")
        if not _is(eps, assumed if ppb is None else ppb / 1e9):
            whole = _in_ppb(eps, name)
            if ppb is not None:
                raise ValueError(f"`{name}` has eps {eps:g}, and the architecture says `norm_epsilon_ppb` {ppb}: write {whole} there")
            return architecture | {"norm_epsilon_ppb": whole}
    return architecture


def _is(eps, other):
    return abs(eps - other) <= 1e-6 * other


def _in_ppb(eps, name):
    whole = round(eps * 1e9)
    if not 1 <= whole <= 10**9 or not _is(eps, whole / 1e9):
        raise ValueError(f"`{name}` has eps {eps:g}, which the catalogue can't say: whole parts per billion, up to 1")
    return whole
