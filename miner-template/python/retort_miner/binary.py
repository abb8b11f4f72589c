"""Runs the ``retort`` binary, which has the rules, the evaluation engine and the signatures.

It is found on the PATH, or where ``RETORT`` says.
"""

import json
import os
import shutil
import subprocess
import tempfile

from .competition import Competition


class RetortError(Exception):
    """No, in the binary's own words; or a package that it would refuse, before it is written."""


def check(folder, competition: Competition, rules_only: bool = False) -> dict:
    """What the validator would say of a package: admission, and unless ``rules_only`` a measurement on this machine
    and the rank that it would have."""
    wanted = ["--rules-only"] if rules_only else []
    return _run(competition, "check", str(folder), "--competition", competition.url, *wanted)


def submit(folder, competition: Competition, hotkey, wait: bool = False) -> dict:
    """Enters a package under a hotkey file (``retort keys new FILE``); the submission's status."""
    wanted = ["--wait"] if wait else []
    return _run(competition, "submit", str(folder), "--competition", competition.url, "--hotkey", str(hotkey), *wanted)


def _run(competition: Competition, *arguments: str) -> dict:
    program = os.environ.get("RETORT") or shutil.which("retort")
    if program is None:
        raise RetortError("no `retort` on the PATH: `cargo install --path retort`, or set RETORT to the binary")
    with tempfile.TemporaryFile() as answer:
        command = [program, "miner", *arguments, "--json"]
        with subprocess.Popen(command, stdout=answer, stderr=subprocess.PIPE, encoding="utf-8", errors="replace") as running:
            said, problem = [], []
            # What it says is heard while it works, which may take minutes.
            for line in running.stderr:
                if problem or line.startswith("error: "):
                    problem.append(line)
                else:
                    said.append(line)
                    competition.report(line.rstrip())
        if running.returncode != 0:
            raise RetortError("".join(problem or said).strip())
        answer.seek(0)
        return json.load(answer)
