"""The answers of real packages to real changed items, for `retort simulate market`: referee/fixtures/market.

    $(scripts/python.sh torch) scripts/market_outcomes.py FOLDER

FOLDER holds packages that scripts/scale.py trained (its default: target/scale; most lie in models/scale). Every other one is in
the repository, or made here: the teacher rounded to f16, a memoriser that learns the 5,000 public images by heart, and of the
first student a near copy, and an ensemble with the reference.

The items are two draws of 5,000 from the hidden half of the test images, every one changed by the default family, as
rounds draw them (scripts/scale.py renders them, byte for byte as datasets/src/hidden/render.rs). Each package becomes a
file in the form RTOUT1 (protocol/src/outcomes.rs): right or wrong, and the divergence from the teacher, item by item, and
the logarithm of its latency over the reference's, launch by launch: the engine's ratio of its architecture
(competitions/fashion-mnist/scale-latency.json; of the teacher, that of its multiplications), from which launches differ by 0.3 %, as
the engine's do on a quiet machine.
"""

import argparse
import hashlib
import json
import pathlib
import struct
import sys

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
LAUNCHES, DEVIATION = 15, 0.003
# Packages that scale.py trains, the first being the one that near copy and ensemble are made of.
TRAINED = (
    "depthwise-8k-train-1", "resnet-31k-train-1", "mobilenet-36k-train-1", "resnet-88k-train-1", "depthwise-32k-train-1",
    "mlp-51k-train-1", "mlp-51k-both-1",
)  # fmt: skip


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


def launches(ratio):
    """ln(candidate / reference) of each launch, billionths."""
    random = numpy.random.default_rng(LAUNCHES)
    return [round(value * 1e9) for value in random.normal(numpy.log(ratio), DEVIATION, LAUNCHES)]


def packages(items, folder):
    """Name, model, the values that inference needs, and its latency as a ratio to the reference's."""
    load = items.competition.package
    ratios = json.loads((scale.COMPETITION / "scale-latency.json").read_text())["ratio"]
    size, macs = scale.size_of, lambda model: scale.macs_of(model, (1, 28, 28))
    reference, teacher = load(ROOT / "models" / "reference"), load(ROOT / "models" / "teacher")
    slower = macs(teacher) / macs(reference)
    yield "reference", reference, size(reference), 1.0
    yield "teacher", teacher, size(teacher), slower
    yield "teacher-f16", halved(load(ROOT / "models" / "teacher")), size(teacher), slower
    for name in TRAINED:
        model = load(folder / name)
        yield name, model, size(model), ratios[name.rsplit("-", 2)[0]]
    model = memoriser(items)
    yield "memoriser", model, size(model), ratios["mlp-51k"]
    first, ratio = load(folder / TRAINED[0]), ratios[TRAINED[0].rsplit("-", 2)[0]]
    yield "ensemble", Mean(first, reference), size(first) + size(reference), ratio + 1
    yield "near-copy", disturbed(load(folder / TRAINED[0]), 0.02), size(first), ratio


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=OUT)
    args = parser.parse_args()
    torch.set_num_threads(1)
    items, rows = Items(), []
    args.out.mkdir(parents=True, exist_ok=True)
    for name, model, values, ratio in packages(items, args.folder):
        right, js = items.answers(model.eval())
        # What is scored: values after folding, at two bytes each.
        size, ratios = 2 * values, launches(ratio)
        head = b"RTOUT1" + items.digest + struct.pack("<QIII", size, len(right), 0, len(ratios))
        bits = numpy.packbits(right, bitorder="little").tobytes()
        body = head + bits + js.astype("<u4").tobytes() + struct.pack(f"<{len(ratios)}q", *ratios)
        (args.out / f"{name}.rtout").write_bytes(body)
        rows.append(dict(package=name, right=float(right.mean()), js=float(js.mean() / 1e6), bytes=size, ratio=round(ratio, 3)))
        print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main()
