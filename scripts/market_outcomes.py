"""The answers of real packages to real changed items, for `retort simulate market`: referee/fixtures/market.

    $(scripts/python.sh torch) scripts/market_outcomes.py FOLDER

FOLDER holds packages that scripts/scale.py trained (its default: target/scale). Every other one is in the repository, or
made here: the teacher rounded to f16, a memoriser that learns the 5,000 public images by heart, and stand-ins for good
students: the teacher with as much noise in its weights as leaves it so many right answers, at the costs of an untrained
student of scripts/scale.py. Of the first stand-in there are a near copy, and an ensemble with the reference.

The items are two draws of 5,000 from the hidden half of the test images, every one changed by the default family, as
rounds draw them (scripts/scale.py renders them, byte for byte as datasets/src/hidden/render.rs). Each package becomes a
file in the form RTOUT1 (protocol/src/outcomes.rs): right or wrong, and the divergence from the teacher, item by item, and
the logarithm of its latency over the reference's, launch by launch. These latencies are PyTorch's: the shortest of many
inferences of one image on one thread, alternating with the reference, so that a busy machine hardly matters; launches
differ from it by 0.3 %, as the engine's do on a quiet one. Near enough for a game, and not the engine's.
"""

import argparse
import hashlib
import json
import pathlib
import struct
import sys
import time

import numpy
import torch
from torch import nn
from torch.nn import functional

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "scripts"))

import golden_hidden  # noqa: E402
import scale  # noqa: E402

OUT = ROOT / "referee" / "fixtures" / "market"
DRAWS = ((bytes([4] * 32), bytes([5] * 32)), (bytes([6] * 32), bytes([7] * 32)))
ITEMS = 5_000
LAUNCHES, DEVIATION, INFERENCES = 15, 0.003, 400
# Packages that scale.py trains.
TRAINED = ("mlp-51k-train-1", "mlp-51k-both-1")
# Stand-ins: their name, the right answers that they are to have, the seed of their noise, and whose costs they have.
STAND_INS = (
    ("stand-in-1", 0.85, 5, "resnet-31k"),
    ("stand-in-2", 0.86, 1, "resnet-31k"),
    ("stand-in-3", 0.88, 2, "resnet-31k"),
    ("stand-in-4", 0.88, 3, "resnet-31k"),
    ("stand-in-5", 0.90, 4, "resnet-31k"),
)
# Items, and halvings, that find how much noise that takes.
SOUGHT_ON, HALVINGS = 500, 5


class Mean(nn.Module):
    """The mean of published models' logits, as a block-diagonal network computes it."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x):
        return sum(part(x) for part in self.parts) / len(self.parts)


class Items:
    """Changed items, their labels and the teacher's answers."""

    def __init__(self):
        self.competition = scale.Offline()
        test = scale.images("t10k")
        order = golden_hidden.permutation(scale.SPLIT_KEY, len(test[1]))
        self.public = tuple(part[order[:5_000]] for part in test)
        pool, labels = (part[order[5_000:]] for part in test)
        spec = dict(items=ITEMS, fixed_ppm=0, family=scale.FAMILY)
        drawn = [change for seeds in DRAWS for change in golden_hidden.draw(*seeds, len(labels), spec)]
        pixels = scale.rendered(pool[:, 0].numpy().astype(numpy.int64), drawn)
        self.images = torch.from_numpy(pixels).unsqueeze(1)
        self.digest = hashlib.sha256(pixels.tobytes()).digest()
        self.teacher = self.logits(self.competition.teacher())
        mixed = torch.tensor([change["other"] is not None for change in drawn])
        # A mixture has the teacher's label, as in a round.
        self.labels = torch.where(mixed, self.teacher.argmax(1), labels[[change["source"] for change in drawn]])

    @torch.inference_mode()
    def logits(self, model, images=None):
        images = self.images if images is None else images
        parts = [model(self.competition.normalised(x)) for x in images.split(250)]
        return torch.cat(parts).double()

    def answers(self, model):
        logits = self.logits(model)
        p, q = logits.softmax(1), self.teacher.softmax(1)
        middle = (p + q) / 2
        js = ((p * (p / middle).log()).nansum(1) + (q * (q / middle).log()).nansum(1)) / 2
        return (logits.argmax(1) == self.labels).numpy(), (js.clamp(0, 0.693147) * 1e6).round().int().numpy()


def memoriser(items):
    """Learns the public images by heart: an MLP of 64 hidden units, half a minute."""
    torch.manual_seed(1)
    model = scale.retort_miner.build(dict(kind="mlp", hidden=[64]), items.competition.input, 10)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    x, y = items.competition.normalised(items.public[0]), items.public[1]
    for _ in range(60):
        for chosen in torch.randperm(len(y)).split(100):
            optimizer.zero_grad()
            functional.cross_entropy(model(x[chosen]), y[chosen]).backward()
            optimizer.step()
    with torch.inference_mode():
        print("memoriser on public items:", (model.eval()(x).argmax(1) == y).double().mean().item())
    return model


def disturbed(model, share, seed=2):
    """A near copy: every weight moved by so much of its tensor's deviation."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1:
                weights += share * weights.std() * torch.randn_like(weights)
    return model


def halved(model):
    """The same in f16, computed in f32 as the engine does."""
    with torch.no_grad():
        for weights in model.parameters():
            weights.copy_(weights.half().float())
    return model


def stood_in(items, wanted, seed):
    """The teacher with noise that leaves it about `wanted` right answers."""
    low, high = 0.0, 0.6
    part = items.images[:SOUGHT_ON], items.labels[:SOUGHT_ON]
    for _ in range(HALVINGS):
        share = (low + high) / 2
        model = disturbed(items.competition.teacher(), share, seed).eval()
        right = (items.logits(model, part[0]).argmax(1) == part[1]).double().mean()
        low, high = (share, high) if right > wanted else (low, share)
    return disturbed(items.competition.teacher(), (low + high) / 2, seed)


def untrained(items, name):
    """A student of scale.py with the weights that it begins with."""
    return scale.retort_miner.build(scale.STUDENTS[name], items.competition.input, 10).eval()


def latencies(model, reference):
    """ln(candidate / reference) of each launch, billionths."""
    x, shortest = torch.zeros(1, 1, 28, 28), [float("inf")] * 2
    with torch.inference_mode():
        for _ in range(INFERENCES):
            for place, one in enumerate((model, reference)):
                began = time.perf_counter_ns()
                one(x)
                shortest[place] = min(shortest[place], time.perf_counter_ns() - began)
    ratio = numpy.log(shortest[0] / shortest[1])
    return [round(value * 1e9) for value in numpy.random.default_rng(LAUNCHES).normal(ratio, DEVIATION, LAUNCHES)]


def packages(items, folder):
    """Name, model, and whose costs it has."""
    load = items.competition.package
    reference, teacher = load(ROOT / "models" / "reference"), load(ROOT / "models" / "teacher")
    for name, model in (("teacher", teacher), ("reference", reference)):
        yield name, model, model
    for name in TRAINED:
        model = load(folder / name)
        yield name, model, model
    for name, model in (("teacher-f16", halved(load(ROOT / "models" / "teacher"))), ("memoriser", memoriser(items))):
        yield name, model, model
    made = {}
    for name, wanted, seed, costs in STAND_INS:
        made[name] = stood_in(items, wanted, seed)
        yield name, made[name], untrained(items, costs)
    first = made["stand-in-1"]
    yield "ensemble", Mean(first, reference), Mean(untrained(items, "resnet-31k"), reference)
    yield "near-copy", disturbed(first, 0.05), untrained(items, "resnet-31k")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=OUT)
    args = parser.parse_args()
    torch.set_num_threads(1)
    items, rows = Items(), []
    args.out.mkdir(parents=True, exist_ok=True)
    reference = items.competition.package(ROOT / "models" / "reference").eval()
    for name, model, costs in packages(items, args.folder):
        right, js = items.answers(model.eval())
        # What is scored: values after folding, at two bytes each.
        size, ratios = 2 * scale.size_of(costs), latencies(costs.eval(), reference)
        head = b"RTOUT1" + items.digest + struct.pack("<QIII", size, len(right), 0, len(ratios))
        bits = numpy.packbits(right, bitorder="little").tobytes()
        body = head + bits + js.astype("<u4").tobytes() + struct.pack(f"<{len(ratios)}q", *ratios)
        (args.out / f"{name}.rtout").write_bytes(body)
        ratio = float(numpy.exp(numpy.median(ratios) / 1e9))
        rows.append(dict(package=name, right=float(right.mean()), js=float(js.mean() / 1e6), bytes=size, ratio=round(ratio, 3)))
        print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main()
