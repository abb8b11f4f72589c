#!/bin/sh
# Lays out the library of onnxruntime 1.32.0 from PyPI's wheel, the engine that competitions name as official.
#
#     scripts/onnxruntime.sh [DIR]          DIR defaults to ~/.cache/retort-onnxruntime
#     eval "$(scripts/onnxruntime.sh)"      fetches what is missing and sets the variables in this shell
#
# The wheel and the library in it are known by their digests: another file is refused here and again when it is loaded.
# The library (35 MB) is DIR/libonnxruntime-1.32.0.so; the wheel (28 MB) isn't kept. Running it again does nothing but
# print. A validator that is the superuser's runs models as nobody, who needn't read DIR.
# ORT_DISABLE_TELEMETRY=1 is part of what is printed: the library sends what it runs to its maker without it.
# Only the export lines go to stdout. Needs python3 with pip, on Linux x86_64.

set -eu

version=1.32.0
wheel=99e1074c4b2197accd5073052a465361be17b89c093b8ffb6e6bd8f986c52df8
library=6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f

directory=${1:-$HOME/.cache/retort-onnxruntime}
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
file=$directory/libonnxruntime-$version.so

is_it() { echo "$library  $1" | sha256sum --check --status 2>/dev/null; }

fetch() {
    work=$(mktemp -d "$directory/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    echo "onnxruntime==$version --hash=sha256:$wheel" > "$work/pins.txt"
    echo "downloading onnxruntime $version" >&2
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
        --platform manylinux_2_28_x86_64 --python-version 3.12 --dest "$work" --requirement "$work/pins.txt" >&2
    python3 - "$work" "onnxruntime/capi/libonnxruntime.so.$version" <<'PYTHON'
import pathlib
import shutil
import sys
import zipfile

work, member = pathlib.Path(sys.argv[1]), sys.argv[2]
(path,) = work.glob("onnxruntime-*.whl")
with zipfile.ZipFile(path) as archive, archive.open(member) as source, open(work / "library", "wb") as sink:
    shutil.copyfileobj(source, sink, 1 << 22)
PYTHON
    is_it "$work/library" || { echo "the library in the wheel isn't $library" >&2; exit 1; }
    # Moved, so that a process which has the old one open keeps it.
    mv "$work/library" "$file"
}

is_it "$file" || fetch
echo "export RETORT_ONNXRUNTIME='$file'"
echo "export ORT_DISABLE_TELEMETRY=1"
