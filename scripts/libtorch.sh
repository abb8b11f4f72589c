#!/bin/sh
# Lays out a CPU-only LibTorch 2.9.0 for `cargo build --features tch`, from PyPI's wheels.
#
#     scripts/libtorch.sh [DIR]          DIR defaults to ~/.cache/retort-torch
#     eval "$(scripts/libtorch.sh)"      fetches what is missing and sets the variables in this shell
#
# tch 0.22 wants exactly this version. PyPI's wheel is the CUDA build, so libtorch_cpu asks for libcudart and libcupti
# when it is loaded, though it never calls them without a GPU: both come from NVIDIA's small wheels. The linker is
# given a libtorch.so that is a script naming the two real libraries, so that nothing CUDA is linked.
#
# Wheels (0.9 GB) stay in DIR/wheels; the layout (0.5 GB) is DIR/torch. Running it again does nothing but print.
# A validator that is the superuser's runs models as nobody, so its DIR must be one that others may read, say /opt/torch.
# Only the two export lines go to stdout. Needs python3 with pip, on Linux x86_64.

set -eu

directory=${1:-$HOME/.cache/retort-torch}
mkdir -p "$directory/wheels"
directory=$(cd "$directory" && pwd)
wheels=$directory/wheels
libtorch=$directory/torch
# In place only when the layout is whole.
stamp=$libtorch/.complete-2.9.0

fetch() { # requirement, pattern of its file
    # shellcheck disable=SC2086 # the pattern must expand
    if ! ls "$wheels"/$2 >/dev/null 2>&1; then
        echo "downloading $1" >&2
        python3 -m pip download --quiet --no-deps --only-binary=:all: \
            --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 \
            --python-version 3.11 --dest "$wheels" "$1" >&2
    fi
}

unpack() {
    echo "unpacking into $libtorch" >&2
    # Beside it, then moved: a process that runs on an older layout keeps its files.
    partial=$libtorch.partial
    rm -rf "$partial"
    python3 - "$wheels" "$partial" <<'PYTHON'
import pathlib
import shutil
import sys
import zipfile

wheels, libtorch = map(pathlib.Path, sys.argv[1:])


def unpack(wheel, destination):
    """Writes each file of the wheel for which `destination` gives a path below `libtorch`."""
    (path,) = wheels.glob(wheel)
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            below = None if name.endswith("/") else destination(name)
            if below:
                target = libtorch / below
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, open(target, "wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 22)


def of_torch(name):
    base = name.rsplit("/", 1)[-1]
    if "libgomp" in base:
        return f"lib/{base}"
    singles = ("torch/lib/libc10.so", "torch/lib/libtorch_cpu.so", "torch/version.py")
    if name.startswith("torch/include/") or name in singles:
        return name.removeprefix("torch/")
    return None


def library(wanted):
    return lambda name: f"lib/{wanted}" if name.endswith(f"/{wanted}") else None


unpack("torch-2.9.0-*.whl", of_torch)
unpack("nvidia_cuda_runtime_cu12-12.8.90-*.whl", library("libcudart.so.12"))
unpack("nvidia_cuda_cupti_cu12-12.8.90-*.whl", library("libcupti.so.12"))
(libtorch / "lib/libtorch.so").write_text("INPUT(-ltorch_cpu -lc10)\n")
for name in ("libc10.so", "libtorch_cpu.so", "libcudart.so.12", "libcupti.so.12"):
    assert (libtorch / "lib" / name).is_file(), f"no {name} in the wheels"
PYTHON
    touch "$partial/.complete-2.9.0"
    rm -rf "$libtorch"
    mv "$partial" "$libtorch"
}

if [ ! -e "$stamp" ]; then
    fetch torch==2.9.0 'torch-2.9.0-*.whl'
    fetch nvidia-cuda-runtime-cu12==12.8.90 'nvidia_cuda_runtime_cu12-12.8.90-*.whl'
    fetch nvidia-cuda-cupti-cu12==12.8.90 'nvidia_cuda_cupti_cu12-12.8.90-*.whl'
    unpack
fi
echo "export LIBTORCH='$libtorch'"
# Not empty-prefixed: an empty entry would mean the current directory.
echo "export LD_LIBRARY_PATH='$libtorch/lib'\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
