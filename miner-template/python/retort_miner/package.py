"""Writes a package: ``model.safetensors`` is the ``state_dict`` as it is, ``config.json`` says what to make of it."""

import json
import pathlib

import torch
from safetensors.torch import save_file
from torch import nn

from .competition import Competition
from .epsilon import with_epsilon
from .fitting import fit


# A validator compares no more.
EXPECTED_ITEMS = 16


def save(folder, model: nn.Module, architecture: dict, competition: Competition) -> pathlib.Path:
    """Writes ``model`` into ``folder`` as an entry to ``competition``; :func:`check` says whether it may enter.

    What its normalisations add to a variance is read from the model and written, where it isn't what the family has. A model
    whose tensors aren't those of ``architecture`` for the competition's input and labels raises :class:`RetortError`; nothing
    is written then.
    """
    architecture = with_epsilon(architecture, model)
    fit(architecture, model.state_dict(), competition.input, competition.labels)
    expected = answers(model, competition)
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
    save_file(expected, folder / "expected.safetensors")
    return folder


def answers(model: nn.Module, competition: Competition) -> dict[str, torch.Tensor]:
    """What the model answers here to the first public items, so that a validator that reads ``config.json`` as another
    function says so instead of measuring that."""
    images = competition.public()[0][:EXPECTED_ITEMS].contiguous()
    device = next(model.parameters()).device
    was_training = model.training
    with torch.inference_mode():
        logits = model.eval()(competition.normalised(images).to(device)).float().cpu().contiguous()
    model.train(was_training)
    return {"images": images, "logits": logits}
