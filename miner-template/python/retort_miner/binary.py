"""Runs the ``retort`` binary, which has the rules, the evaluation engine and the signatures.

It is found on the PATH, or where ``RETORT`` says.
"""

import json
import os
import shutil
import subprocess

from .competition import Competition


class RetortError(Exception):
    """No, in the binary's own words; or a package that it would refuse, before it is written."""


def check(folder, competition: Competition, rules_only: bool = False) -> dict:
    """What the validator would say of a package: admission, and unless ``rules_only`` a measurement on this machine
    and the rank that it would have."""
    return _run("check", str(folder), "--competition", competition.url, *(["--rules-only"] if rules_only else []))


def submit(folder, competition: Competition, hotkey, wait: bool = False) -> dict:
    """Enters a package under a hotkey file (``retort keys new FILE``); the submission's status."""
    wanted = ["--wait"] if wait else []
    return _run("submit", str(folder), "--competition", competition.url, "--hotkey", str(hotkey), *wanted)


def _run(*arguments: str) -> dict:
    program = os.environ.get("RETORT") or shutil.which("retort")
    if program is None:
        raise RetortError("no `retort` on the PATH: `cargo install --path retort`, or set RETORT to the binary")
    done = subprocess.run([program, "miner", *arguments, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise RetortError(done.stderr.decode(errors="replace").strip())
    return json.loads(done.stdout)
