"""Trains what docs/COPIES.md is measured on: independent students of five widths a family, students of the same initial
weights, and what a copier makes of a model by training on. One command, which goes on where it stopped:

    $(scripts/python.sh torch) scripts/copies_null.py FOLDER

Short schedules (SCHEDULES), PyTorch, one core, each student from its own seed. Widths with five seeds come first. The second half needs
copies in other shapes, which `cargo run -p miner-template --example copies -- FOLDER --reshape` writes into FOLDER; then
the same command trains an epoch on each.
"""

import gzip
import json
import pathlib
import struct
import sys

import numpy
import pyarrow.parquet
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "miner-template" / "python"))

import retort_miner  # noqa: E402

TEMPERATURE = 4.0
BATCH = 128
INPUT = {"channels": 1, "height": 28, "width": 28, "mean_ppm": [286040], "deviation_ppm": [353020]}
# Epochs, images of one, the largest learning rate.
SCHEDULES = {
    "mlp": (4, 20_000, 5e-3),
    "resnet": (2, 6_400, 5e-3),
    "depthwise_cnn": (2, 6_400, 1e-2),
    "mobilenet_v2": (2, 6_400, 1e-2),
    "vit": (4, 20_000, 3e-3),
}
SEEDS = (5, 5, 3, 2, 2)


def depthwise(stem):
    blocks = [(2 * stem, 1), (4 * stem, 2), (4 * stem, 1)]
    blocks = [{"channels": channels, "stride": stride} for channels, stride in blocks]
    return {"kind": "depthwise_cnn", "stem": stem, "stem_stride": 2, "blocks": blocks}


def mobilenet(stem):
    rows = [(1, stem, 1, 1), (4, 3 * stem // 2, 2, 2), (4, 5 * stem // 2, 2, 2)]
    names = ("expansion", "channels", "repeats", "stride")
    blocks = [dict(zip(names, row)) for row in rows]
    return {"kind": "mobilenet_v2", "stem": stem, "stem_stride": 2, "blocks": blocks, "head": 6 * stem}


def vit(width):
    return {"kind": "vit", "patch": 7, "width": width, "depth": 2, "heads": 4, "mlp_width": 2 * width}


# Widths of each family, the two with five seeds first.
FAMILIES = {
    "mlp": [{"kind": "mlp", "hidden": h} for h in ([32, 32], [16, 16], [8, 8], [64, 64], [128, 128])],
    "resnet": [{"kind": "resnet", "width": w, "blocks": [1, 1], "stem_stride": 2} for w in (12, 8, 4, 16, 20)],
    "depthwise_cnn": [depthwise(stem) for stem in (16, 8, 4, 12, 24)],
    "mobilenet_v2": [mobilenet(stem) for stem in (16, 8, 4, 12, 20)],
    "vit": [vit(width) for width in (32, 24, 16, 40, 48)],
}


def images():
    """The training images, their labels and the teacher's answers."""
    def idx(name):
        body = gzip.decompress((ROOT / "datasets" / "fashion-mnist" / name).read_bytes())
        shape = struct.unpack_from(f">{body[3]}I", body, 4)
        return torch.from_numpy(numpy.frombuffer(body, numpy.uint8, offset=4 + 4 * body[3]).reshape(shape).copy())

    x = idx("train-images-idx3-ubyte.gz").unsqueeze(1).float() / 255
    x = (x - INPUT["mean_ppm"][0] / 1e6) / (INPUT["deviation_ppm"][0] / 1e6)
    rows = pyarrow.parquet.read_table(ROOT / "models" / "teacher" / "training-logits.parquet")["teacher_logits"]
    answers = torch.tensor(rows.combine_chunks().flatten().to_numpy().reshape(len(x), -1))
    return x, idx("train-labels-idx1-ubyte.gz").long(), answers


def load(folder):
    config = json.loads((folder / "config.json").read_text())
    model = retort_miner.build(config["architecture"], INPUT, len(config["labels"]))
    state = model.state_dict()
    tensors = load_file(folder / "model.safetensors")
    model.load_state_dict({name: tensors[name].to(tensor.dtype) if name in tensors else tensor for name, tensor in state.items()})
    return config["architecture"], model


def save(folder, model, architecture):
    folder.mkdir(parents=True, exist_ok=True)
    labels = json.loads((ROOT / "models" / "teacher" / "config.json").read_text())["labels"]
    config = {"format": "retort/1", "architecture": architecture, "input": INPUT, "labels": labels}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {name: t.contiguous() for name, t in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    save_file(tensors, folder / "model.safetensors")


class Null:
    def __init__(self, folder):
        self.folder = folder
        self.x, self.labels, self.teacher = images()

    def train(self, name, seed, architecture=None, start=None, epochs=None, count=None, rate=None, teacher=None):
        """A package below the folder, unless it is there."""
        folder = self.folder / name
        if (folder / "model.safetensors").exists():
            return folder
        torch.manual_seed(seed)
        if start is None:
            model = retort_miner.build(architecture, INPUT, self.teacher.shape[1])
        else:
            architecture, model = load(start)
        default = SCHEDULES[architecture["kind"]]
        epochs, count = default[0] if epochs is None else epochs, count or default[1]
        answers = self.teacher if teacher is None else teacher
        steps = epochs * (count // BATCH)
        if steps:
            self.fit(model.train(), answers, epochs, count, steps, rate or default[2])
        save(folder, model.eval(), architecture)
        print(name, flush=True)
        return folder

    def fit(self, model, answers, epochs, count, steps, rate):
        optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
        for _ in range(epochs):
            for chosen in torch.randperm(len(self.labels))[: count // BATCH * BATCH].split(BATCH):
                x = self.x[chosen]
                x = x.flip(3) if torch.rand(()) < 0.5 else x
                said, told = model(x), answers[chosen]
                soft = functional.log_softmax(said / TEMPERATURE, 1), functional.log_softmax(told / TEMPERATURE, 1)
                loss = 0.5 * functional.cross_entropy(said, self.labels[chosen])
                loss = loss + 0.5 * TEMPERATURE**2 * functional.kl_div(*soft, reduction="batchmean", log_target=True)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()

    @torch.inference_mode()
    def said(self, folder):
        """What a student says of all training images: whoever distils from it learns from that."""
        model = load(folder)[1].eval()
        return torch.cat([model(x) for x in self.x.split(1_000)]).clone()

    def independent(self, family, widths, place):
        for seed in range(1, SEEDS[place] + 1):
            self.train(f"{family}/independent-{place}-{seed}", 1_000 * place + seed, widths[place])

    def derived(self, family, widths):
        """What begins with something that somebody has: the same initial weights, a model, a model in another shape."""
        rate = SCHEDULES[family][2]
        start = self.train(f"{family}/initial", 77, widths[0], epochs=0)
        for seed in (1, 2):
            victim = self.folder / family / f"independent-0-{seed}"
            self.train(f"{family}/same-start-{seed}", 200 + seed, start=start)
            self.train(f"{family}/fine-tuned-{seed}", 300 + seed, start=victim, epochs=1, rate=rate / 10)
            self.train(f"{family}/hot-{seed}", 400 + seed, start=victim, epochs=1, rate=rate)
        name = f"{family}/distilled-1"
        if not (self.folder / name / "model.safetensors").exists():
            self.train(name, 501, widths[0], teacher=self.said(self.folder / family / "independent-0-1"))
        for reshaped in sorted((self.folder / family).glob("reshaped-*")):
            self.train(f"{family}/tuned-{reshaped.name}", 600, start=reshaped, epochs=1, rate=rate / 10)


def main():
    torch.set_num_threads(1)
    null = Null(pathlib.Path(sys.argv[1]))
    for place in range(len(SEEDS)):
        for family, widths in FAMILIES.items():
            null.independent(family, widths, place)
        if place == 0:
            for family, widths in FAMILIES.items():
                null.derived(family, widths)


if __name__ == "__main__":
    main()
