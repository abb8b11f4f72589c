"""A published competition: its manifest, its images and its teacher's answers, each file checked against its digest.

Training and public part are Parquet, a picture, a label and the teacher's logits a row. Nothing here knows how to train.
"""

import hashlib
import io
import json
import pathlib
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

import numpy
import PIL.Image
import pyarrow
import pyarrow.parquet
import torch
from safetensors.torch import load

from .students import build

CACHE = pathlib.Path.home() / ".cache" / "retort-miner"
# Bytes that are read at once, and seconds between two words about what goes on.
CHUNK, QUIET = 1 << 20, 10.0


class Stopwatch:
    """Says now and then, in words, how far something is that takes its time, and how long the rest takes."""

    def __init__(self, report: Callable[[str], None], what: str, total: int, unit: str):
        self.report, self.what, self.total, self.unit = report, what, total, unit
        self.began = self.told = time.monotonic()

    def at(self, done: int, beside: str = "") -> None:
        """``done`` of the total is done; ``beside`` is what else there is to say, if it is said now."""
        now = time.monotonic()
        if now - self.told >= QUIET and 0 < done < self.total:
            left = (now - self.began) * (self.total - done) / done
            self.report(f"{self.what}: {done} of {self.total} {self.unit}{beside}, {left:.0f} s left")
            self.told = now


class Corrupt(Exception):
    """Bytes that are not those that the validator's digest promises, or are no published part."""


@dataclass
class Competition:
    """What a validator published under ``url`` (``http://HOST/competitions/ID``)."""

    url: str
    base: str
    document: dict
    # Hears, in words, what takes its time.
    report: Callable[[str], None] = lambda words: None

    @classmethod
    def fetch(cls, url: str, report: Callable[[str], None] = lambda words: None) -> "Competition":
        base, _, name = url.rstrip("/").partition("/competitions/")
        if not name:
            raise ValueError(f"{url} is no address of a competition; write http://HOST:PORT/competitions/ID")
        with urllib.request.urlopen(f"{base}/api/v1/competitions/{name}") as answer:
            return cls(url, base, json.load(answer)["competition"], report)

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
        return self._images("training")

    def public(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The public part of the evaluation set: to measure on, never to train on."""
        return self._images("evaluation")

    def training_teacher_logits(self) -> torch.Tensor | None:
        """The teacher's answers to the training images, ``[n, classes]``, if they are published."""
        rows = self._table("training", ["teacher_logits"]).column(0).combine_chunks()
        if rows.null_count == len(rows):
            return None
        values, classes = rows.flatten(), len(self.labels)
        lengths = rows.value_lengths()
        if rows.null_count + values.null_count or any(length != classes for length in lengths.to_pylist()):
            raise Corrupt(f"a row has no {classes} logits")
        return torch.from_numpy(values.to_numpy(zero_copy_only=False).astype(numpy.float32).reshape(-1, classes))

    def teacher(self) -> torch.nn.Module | None:
        """The teacher itself, ready to be asked about images that nobody has asked it about; nothing where it is known by
        its answers only, which the parts have."""
        published = self.document["teacher"]
        if "config" not in published:
            return None
        model = build(published["config"]["architecture"], self.input, len(self.labels))
        tensors = load(self._object(published["weights"], "the teacher"))
        model.load_state_dict({name: tensor.to(model.state_dict()[name].dtype) for name, tensor in tensors.items()})
        return model.eval()

    def _images(self, part: str) -> tuple[torch.Tensor, torch.Tensor]:
        shape = tuple(self.input[side] for side in ("channels", "height", "width"))
        inputs = "image" if shape[0] in (1, 3) else "pixels"
        table = self._table(part, [inputs, "label"])
        rows = table.column(inputs).to_pylist()
        images = numpy.empty((len(rows), *shape), numpy.uint8)
        watch = Stopwatch(self.report, f"reading the {part} data", len(rows), "images")
        for row, value in enumerate(rows):
            images[row] = _planes(value["bytes"], shape) if inputs == "image" else _raw(value, shape)
            watch.at(row + 1)
        labels = torch.tensor(table.column("label").to_pylist(), dtype=torch.int64)
        if labels.numel() and not (0 <= labels.min() and labels.max() < len(self.labels)):
            raise Corrupt(f"a label of other classes than the {len(self.labels)} there are")
        return torch.from_numpy(images), labels

    def _table(self, part: str, columns: list[str]) -> pyarrow.Table:
        return _read(self._object(self.document["tables"][part], f"the {part} data"), columns)

    def _object(self, reference: dict, what: str) -> bytes:
        """An object by its digest, from the cache if it is there."""
        digest = reference["sha256"]
        cached = CACHE / digest
        if not cached.exists():
            with urllib.request.urlopen(f"{self.base}/api/v1/objects/sha256/{digest}") as answer:
                body = self._received(answer, reference["size_bytes"], what)
            _check(body, digest)
            CACHE.mkdir(parents=True, exist_ok=True)
            partial = cached.with_suffix(".partial")
            partial.write_bytes(body)
            partial.replace(cached)
        body = cached.read_bytes()
        _check(body, digest)
        return body

    def _received(self, answer, size: int, what: str) -> bytes:
        """A body, with a word at its beginning and now and then."""
        self.report(f"fetching {what}, {size / 1e6:.1f} MB")
        body, watch = bytearray(), Stopwatch(self.report, f"fetching {what}", size, "bytes")
        while chunk := answer.read(CHUNK):
            body += chunk
            watch.at(len(body))
        return bytes(body)


def _check(body: bytes, digest: str) -> None:
    found = hashlib.sha256(body).hexdigest()
    if found != digest:
        raise Corrupt(f"object {digest} arrived as {found}: the download is corrupt or the validator lies")


def _read(body: bytes, columns: list[str]) -> pyarrow.Table:
    """Columns of a part, which is uncompressed: so a few bytes can't stand for gigabytes."""
    try:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(body))
        groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
        chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
        if any(chunk.compression != "UNCOMPRESSED" or chunk.has_dictionary_page for chunk in chunks):
            raise Corrupt("no published part: it is compressed")
        return file.read(columns=columns)
    except (pyarrow.ArrowException, OSError) as problem:
        raise Corrupt(f"no published part: {problem}") from problem


def _planes(body: bytes, shape: tuple[int, ...]) -> numpy.ndarray:
    """A PNG of exactly this shape, plane by plane."""
    channels, height, width = shape
    try:
        picture = PIL.Image.open(io.BytesIO(body), formats=["PNG"])
        if (picture.mode, *picture.size) != ("L" if channels == 1 else "RGB", width, height):
            raise Corrupt(f"a picture is {picture.mode} of {picture.size}, not {shape}")
        return numpy.asarray(picture).reshape(height, width, channels).transpose(2, 0, 1)
    except OSError as problem:
        raise Corrupt(f"a picture can't be read: {problem}") from problem


def _raw(body: bytes, shape: tuple[int, ...]) -> numpy.ndarray:
    if len(body) != numpy.prod(shape):
        raise Corrupt(f"a row has {len(body)} values, not {shape}")
    return numpy.frombuffer(body, numpy.uint8).reshape(shape)
