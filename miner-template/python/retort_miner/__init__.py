"""Compete in Retort from PyTorch: fetch a competition, build a student, save a package, check it, submit it.

The rules are not here: :func:`check` and :func:`submit` run the ``retort`` binary, whose check is the validator's own.
"""

from .binary import RetortError, check, submit
from .changes import Changes
from .competition import Competition, Corrupt, Stopwatch
from .package import save
from .students import build
from .timm_names import from_timm

__all__ = [
    "Changes", "Competition", "Corrupt", "RetortError", "Stopwatch", "build", "check", "from_timm", "save", "submit",
]  # fmt: skip
