#!/usr/bin/env bash
# Prints the Python interpreter of the environment NAME, which it makes on first use: a virtual environment outside the
# clone with what scripts/python/NAME.txt pins. Tests that drive real Python clients ask it, and so may you:
#
#     $(scripts/python.sh hub) -c 'import huggingface_hub, transformers'     # no torch
#     $(scripts/python.sh data) -c 'import datasets, PIL, polars, duckdb, pandas, safetensors'
#     $(scripts/python.sh torch) -c 'import torch, torchvision, timm, PIL, onnxscript, pandas'    # seven gigabytes
#
# A changed pin makes a new environment. RETORT_PYTHON_DIR says where they lie (default ~/.cache/retort-python).
set -euo pipefail
name="${1:?usage: scripts/python.sh NAME, where scripts/python/NAME.txt exists}"
pins="$(dirname "$0")/python/$name.txt"
[ -f "$pins" ] || { echo "there is no $pins" >&2; exit 2; }
root="${RETORT_PYTHON_DIR:-$HOME/.cache/retort-python}"
dir="$root/$name-$(sha256sum "$pins" | cut -c1-12)"
mkdir -p "$root"
# Two tests may ask at once; an installation that was cut short starts again.
exec 9> "$root/$name.lock"
flock 9
if [ ! -f "$dir/complete" ]; then
  rm -rf "$dir"
  python3 -m venv "$dir" >&2
  "$dir/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$pins" >&2
  touch "$dir/complete"
fi
echo "$dir/bin/python"
