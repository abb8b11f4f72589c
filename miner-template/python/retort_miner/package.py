"""Writes a package: ``model.safetensors`` is the ``state_dict`` as it is, ``config.json`` says what to make of it."""

import json
import pathlib

from safetensors.torch import save_file
from torch import nn

from .competition import Competition


def save(folder, model: nn.Module, architecture: dict, competition: Competition) -> pathlib.Path:
    """Writes ``model`` into ``folder`` as an entry to ``competition``; :func:`check` says whether it may enter."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = {
        "format": "retort/1",
        "architecture": architecture,
        "input": competition.input,
        "labels": competition.labels,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return folder
