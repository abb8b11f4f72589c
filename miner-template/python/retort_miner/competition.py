"""A published competition: its manifest, its images and its teacher's answers, each file checked against its digest.

Formats (RTIMG1, RTLOG1) are described in the ``datasets`` crate. Nothing here knows how to train.
"""

import hashlib
import json
import pathlib
import urllib.request
from dataclasses import dataclass

import numpy
import torch
from safetensors.torch import load

from .students import build

CACHE = pathlib.Path.home() / ".cache" / "retort-miner"


class Corrupt(Exception):
    """Bytes that are not those that the validator's digest promises, or are in no known format."""


@dataclass
class Competition:
    """What a validator published under ``url`` (``http://HOST/competitions/ID``)."""

    url: str
    base: str
    document: dict

    @classmethod
    def fetch(cls, url: str) -> "Competition":
        base, _, name = url.rstrip("/").partition("/competitions/")
        if not name:
            raise ValueError(f"{url} is no address of a competition; write http://HOST:PORT/competitions/ID")
        with urllib.request.urlopen(f"{base}/api/v1/competitions/{name}") as answer:
            return cls(url, base, json.load(answer)["competition"])

    @property
    def input(self) -> dict:
        return self.document["manifest"]["input"]

    @property
    def labels(self) -> list[str]:
        return self.document["manifest"]["labels"]

    @property
    def changes(self) -> dict:
        """What is done to the items of a hidden round, as the manifest says (see :class:`retort_miner.Changes`)."""
        return self.document["manifest"]["rounds"]["transforms"]

    def normalised(self, images: torch.Tensor) -> torch.Tensor:
        """What the validator feeds a model: ``(pixel / 255 - mean) / deviation`` in f32, per channel."""
        shape = (1, -1, 1, 1)
        mean = torch.tensor(self.input["mean_ppm"], dtype=torch.float32).reshape(shape) / 1e6
        deviation = torch.tensor(self.input["deviation_ppm"], dtype=torch.float32).reshape(shape) / 1e6
        return (images.float() / 255 - mean) / deviation

    def training(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Training images as u8 ``[n, channels, height, width]``, and their labels."""
        return self._images("training_images")

    def public(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The public part of the evaluation set: to measure on, never to train on."""
        return self._images("public_images")

    def training_teacher_logits(self) -> torch.Tensor | None:
        """The teacher's answers to the training images, ``[n, classes]``, if they are published."""
        if self.document.get("training_teacher_logits") is None:
            return None
        body = self._object(self.document["training_teacher_logits"])
        count, classes = _header(body, b"RTLOG1\0\0", 2)
        values = numpy.frombuffer(body, "<f4", offset=16)
        if values.size != count * classes:
            raise Corrupt("logits of another length than their header says")
        return torch.from_numpy(values.reshape(count, classes).copy())

    def teacher(self) -> torch.nn.Module:
        """The teacher itself, ready to be asked about images that nobody has asked it about."""
        published = self.document["teacher"]
        model = build(published["config"]["architecture"], self.input, len(self.labels))
        tensors = load(self._object(published["weights"]))
        model.load_state_dict({name: tensor.to(model.state_dict()[name].dtype) for name, tensor in tensors.items()})
        return model.eval()

    def _images(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        body = self._object(self.document[name])
        shape = _header(body, b"RTIMG1\0\0", 4)
        pixels = int(numpy.prod(shape, dtype=numpy.int64))
        values = numpy.frombuffer(body, numpy.uint8, offset=25)
        if body[24] != 1 or values.size != pixels + shape[0]:
            raise Corrupt("images of another length than their header says, or without labels")
        images = torch.from_numpy(values[:pixels].reshape(shape).copy())
        return images, torch.from_numpy(values[pixels:].copy()).long()

    def _object(self, reference: dict) -> bytes:
        """An object by its digest, from the cache if it is there."""
        digest = reference["sha256"]
        cached = CACHE / digest
        if not cached.exists():
            with urllib.request.urlopen(f"{self.base}/api/v1/objects/sha256/{digest}") as answer:
                body = answer.read()
            _check(body, digest)
            CACHE.mkdir(parents=True, exist_ok=True)
            partial = cached.with_suffix(".partial")
            partial.write_bytes(body)
            partial.replace(cached)
        body = cached.read_bytes()
        _check(body, digest)
        return body


def _check(body: bytes, digest: str) -> None:
    found = hashlib.sha256(body).hexdigest()
    if found != digest:
        raise Corrupt(f"object {digest} arrived as {found}: the download is corrupt or the validator lies")


def _header(body: bytes, magic: bytes, numbers: int) -> tuple[int, ...]:
    if len(body) < 8 + 4 * numbers + 1 or body[:8] != magic:
        raise Corrupt(f"no {magic[:6].decode()} file")
    return tuple(int(n) for n in numpy.frombuffer(body, "<u4", count=numbers, offset=8))
