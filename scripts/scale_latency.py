"""Latency of each student of the scale beside the reference, on each engine: competitions/fashion-mnist/scale-latency.json, under
"engines". Random weights where no trained package is committed: how long an answer takes doesn't depend on them.

    $(scripts/python.sh torch) scripts/scale_latency.py RETORT ENGINE..      # a release build; burn, rten, onnxruntime

RETORT is run as `retort bench latency --same 3 --effort quick --runtime ENGINE`; the median of three is kept, and all are printed.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import scale

FILE = scale.COMPETITION / "scale-latency.json"
TRAINED = scale.ROOT / "models" / "scale"


def measured(retort, engine, student):
    package = TRAINED / f"{student}-train-1"
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(scale.STUDENTS[student], file)
        file.flush()
        which = ["--package", str(package)] if package.exists() else ["--model", file.name]
        command = [retort, "bench", "latency", "--same", "3", "--effort", "quick", "--runtime", engine, "--json", *which]
        said = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)
    low, middle, high = (said[f"ratio_ppm_{which}"] / 1e6 for which in ("min", "median", "max"))
    print(f"{engine:12} {student:15} {middle:.4f} ({low:.4f} to {high:.4f}), repeated {said['repeated']}", flush=True)
    return round(middle, 4)


def main():
    retort, *engines = sys.argv[1:]
    for engine in engines:
        found = {student: measured(retort, engine, student) for student in scale.STUDENTS}
        kept = json.loads(FILE.read_text())
        kept.setdefault("engines", {})[engine] = found
        FILE.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main()
