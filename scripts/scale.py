"""What students of each family and size reach on hidden rounds, and what memorising the test images gains: the table that
docs/RULES.md and docs/HIDDEN_ROUNDS.md set their figures by. One command, which goes on where it stopped:

    $(scripts/python.sh torch) scripts/scale.py [--until SECONDS] [FOLDER]

It trains by the recipe of miner-template/python/distil.py, to its end, on one core, in the order of cost times seed, so that no
student waits for many seeds of a cheaper one. Each run is a line of competitions/fashion-mnist/scale.jsonl and a package below FOLDER (default
target/scale), for `retort bench latency` to time. `--table` prints Markdown of the rows that are there.

Training runs differ by seed and machine; the hidden items are those of `cargo run -p eval --example hidden_gap -- 5000`,
pixel by pixel (a second implementation: scripts/golden_hidden.py draws, the head of datasets/src/hidden/render.rs says
what is made).
"""

import argparse
import gzip
import json
import math
import pathlib
import struct
import sys
import time
import tomllib
from collections import defaultdict

import numpy
import pyarrow.parquet
import torch
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "scripts"), str(ROOT / "miner-template" / "python")]

import distil  # noqa: E402
import golden_hidden  # noqa: E402
import retort_miner  # noqa: E402

COMPETITION = ROOT / "competitions" / "fashion-mnist"
ROWS = COMPETITION / "scale.jsonl"
# As in eval/examples/hidden_gap.rs.
SPLIT_KEY, SEED, FIXED_SEED = bytes([1] * 32), bytes([2] * 32), bytes([3] * 32)
ITEMS, FIXED_PPM = 5_000, 300_000
# What `train` prints of the teacher on those items.
TEACHER_HIDDEN = 0.9242
# `Family::default()` of protocol/src/transforms.rs: the manifest names nothing else.
FAMILY = dict(
    shift_px_max=2, rotation_millidegrees_max=4_000, scale_ppm_min=970_000, scale_ppm_max=1_030_000,
    brightness_ppm_min=850_000, brightness_ppm_max=1_150_000, noise_levels_max=5, cutout_px_max=4, mixture_ppm=150_000,
    mixture_share_ppm_min=600_000, mixture_share_ppm_max=800_000,
)  # fmt: skip


def resnet(width, *blocks):
    return dict(kind="resnet", width=width, blocks=list(blocks), stem_stride=2)


def depthwise(stem, *blocks):
    blocks = [dict(channels=channels, stride=stride) for channels, stride in blocks]
    return dict(kind="depthwise_cnn", stem=stem, stem_stride=2, blocks=blocks)


def mobilenet(stem, head, *blocks):
    names = ("expansion", "channels", "repeats", "stride")
    return dict(kind="mobilenet_v2", stem=stem, stem_stride=2, blocks=[dict(zip(names, b)) for b in blocks], head=head)


def vit(patch, width, depth):
    return dict(kind="vit", patch=patch, width=width, depth=depth, heads=4, mlp_width=2 * width)


STUDENTS = {
    "mlp-12k": dict(kind="mlp", hidden=[16]),
    "mlp-51k": dict(kind="mlp", hidden=[64]),
    "mlp-235k": dict(kind="mlp", hidden=[256, 128]),
    "resnet-11k": resnet(12, 1, 1),
    "resnet-31k": resnet(10, 1, 1, 1),
    "resnet-88k": resnet(17, 1, 1, 1),
    "resnet-293k": resnet(31, 1, 1, 1),
    "depthwise-8k": depthwise(16, (32, 1), (64, 2), (64, 1)),
    "depthwise-32k": depthwise(24, (48, 1), (96, 2), (96, 1), (160, 2)),
    "mobilenet-12k": mobilenet(8, 64, (1, 8, 1, 1), (3, 16, 2, 2), (3, 24, 2, 2)),
    "mobilenet-36k": mobilenet(16, 96, (1, 16, 1, 1), (4, 24, 2, 2), (4, 40, 2, 2)),
    "vit-43k": vit(7, 40, 3),
    "vit-140k": vit(4, 64, 4),
}
# What a run learns from. `both` has the 10,000 test images among its own, as anyone on a public pool may; `heavy` sees
# them as often as the 60,000 others together.
MEMORISERS = ("mlp-51k", "resnet-11k", "resnet-88k")
# Five seeds of two widths a family: what honest students have in common (docs/COPIES.md) is measured on them.
NULLS = (
    "mlp-12k", "mlp-51k", "resnet-11k", "resnet-31k", "depthwise-8k", "depthwise-32k", "mobilenet-12k", "mobilenet-36k",
)  # fmt: skip


class Offline(retort_miner.Competition):
    """The repository's files as a competition: what a validator would publish, without one."""

    def __init__(self):
        manifest = tomllib.loads((COMPETITION / "competition.toml").read_text())
        manifest["rounds"] = dict(manifest.get("rounds", {}), transforms=FAMILY)
        super().__init__("", "", dict(manifest=manifest))

    def public(self):
        return images("t10k")

    def package(self, folder):
        config = json.loads((folder / "config.json").read_text())
        model = retort_miner.build(config["architecture"], self.input, len(self.labels))
        tensors = load_file(folder / "model.safetensors")
        model.load_state_dict({name: tensor.to(model.state_dict()[name].dtype) for name, tensor in tensors.items()})
        return model.eval()

    def teacher(self):
        return self.package(ROOT / "models" / "teacher")


def idx(name):
    """A file of the data set, as it was published."""
    body = gzip.decompress((ROOT / "datasets" / "fashion-mnist" / name).read_bytes())
    dimensions = struct.unpack_from(f">{body[3]}I", body, 4)
    return torch.from_numpy(numpy.frombuffer(body, numpy.uint8, offset=4 + 4 * body[3]).reshape(dimensions).copy())


def images(part):
    return idx(f"{part}-images-idx3-ubyte.gz").unsqueeze(1), idx(f"{part}-labels-idx1-ubyte.gz").long()


class Contest:
    """Public items, and one drawn round with the teacher's labels on mixtures."""

    def __init__(self):
        self.competition = Offline()
        self.test = images("t10k")
        order = golden_hidden.permutation(SPLIT_KEY, len(self.test[1]))
        self.public = tuple(part[order[:ITEMS]] for part in self.test)
        pool = tuple(part[order[ITEMS:]] for part in self.test)
        spec = dict(items=ITEMS, fixed_ppm=FIXED_PPM, family=FAMILY)
        drawn = golden_hidden.draw(SEED, FIXED_SEED, len(pool[1]), spec)
        self.mixed = torch.tensor([change["other"] is not None for change in drawn])
        hidden = torch.from_numpy(rendered(pool[0][:, 0].numpy().astype(numpy.int64), drawn)).unsqueeze(1)
        teacher = self.competition.teacher()
        self.teachers = {name: distil.ask(teacher, self.competition, x) for name, x in
                         (("public", self.public[0]), ("hidden", hidden))}
        labels = pool[1][[change["source"] for change in drawn]]
        self.hidden = hidden, torch.where(self.mixed, self.teachers["hidden"].argmax(1), labels)

    def measured(self, model):
        """Shares of right answers in parts per million, and mean divergences in millionths of a nat."""
        row = {}
        for name, (x, labels) in (("public", self.public), ("hidden", self.hidden)):
            logits = distil.ask(model, self.competition, x)
            right = (logits.argmax(1) == labels).double()
            row[f"{name}_ppm"] = ppm(right.mean())
            if name == "hidden":
                row["hidden_unmixed_ppm"], row["hidden_mixed_ppm"] = ppm(right[~self.mixed].mean()), ppm(right[self.mixed].mean())
            row[f"{name}_js_micronats"] = ppm(divergence(logits, self.teachers[name]))
        return row


def ppm(value):
    return round(float(value) * 1e6)


def divergence(a, b):
    """Mean Jensen-Shannon divergence of two tables of logits, in nats."""
    p, q = a.double().softmax(1), b.double().softmax(1)
    middle = (p + q) / 2
    return ((p * (p / middle).log()).nansum(1) / 2 + (q * (q / middle).log()).nansum(1) / 2).mean()


def rendered(pool, drawn):
    """The items of a draw, u8 ``[n, height, width]``: the arithmetic of render.rs, all items at once."""
    million = golden_hidden.M
    column = lambda name: numpy.array([change[name] or 0 for change in drawn], numpy.int64).reshape(-1, 1, 1)
    height, width = pool.shape[1:]
    share = numpy.where(column("share") > 0, column("share"), million)
    source, other = column("source").ravel(), column("other").ravel()
    start = (pool[source] * share + pool[other] * (million - share) + million // 2) // million

    nearest = lambda value: (numpy.sign(value) * numpy.floor(numpy.abs(value) * 65536 + 0.5)).astype(numpy.int64)
    angle = column("rotation") * (numpy.pi / 180_000)
    p, q = (nearest(part(angle)) * million // column("scale") for part in (numpy.cos, numpy.sin))
    y, x = numpy.mgrid[:height, :width]
    u, v = 2 * x - (width - 1) - 2 * column("dx"), 2 * y - (height - 1) - 2 * column("dy")
    across = (p * u + q * v >> 1) + (width - 1) * 32768
    down = (p * v - q * u >> 1) + (height - 1) * 32768
    i, j, f, g = across >> 16, down >> 16, across >> 8 & 255, down >> 8 & 255
    bordered = numpy.pad(start, ((0, 0), (1, 1), (1, 1)))
    which = numpy.arange(len(drawn)).reshape(-1, 1, 1)
    at = lambda j, i: bordered[which, (j + 1).clip(0, height + 1), (i + 1).clip(0, width + 1)]
    upper, lower = at(j, i) * (256 - f) + at(j, i + 1) * f, at(j + 1, i) * (256 - f) + at(j + 1, i + 1) * f
    value = (upper * (256 - g) + lower * g + 32768) >> 16
    value = ((value * column("brightness") + million // 2) // million).clip(max=255)
    bell = bytes_of_words([change["noise_seed"] for change in drawn], height * width).reshape(value.shape)
    value = (value + ((bell - 510) * column("noise") + 74) // 148).clip(0, 255)
    side = column("side")
    left, top = width * column("x") // million - side // 2, height * column("y") // million - side // 2
    inside = (x >= left) & (x < left + side) & (y >= top) & (y < top + side)
    return numpy.where(inside, 0, value).astype(numpy.uint8)


def bytes_of_words(seeds, count):
    """The sums of the four bytes of the first `count` words of each seed's ChaCha20, all seeds at once."""
    blocks = -(-count // 16)
    state = numpy.zeros((16, len(seeds), blocks), numpy.uint32)
    state[:4] = numpy.frombuffer(b"expand 32-byte k", "<u4").reshape(4, 1, 1)
    seeds = numpy.array(seeds, numpy.uint64)
    state[4], state[5] = (seeds & 0xFFFFFFFF).astype(numpy.uint32)[:, None], (seeds >> 32).astype(numpy.uint32)[:, None]
    state[12] = numpy.arange(blocks, dtype=numpy.uint32)
    s = state.copy()
    rotated = lambda x, n: x << numpy.uint32(n) | x >> numpy.uint32(32 - n)
    for half in range(20):
        for i in range(4):
            a, b, c, d = (i, *(4 * r + (i + (r if half % 2 else 0)) % 4 for r in (1, 2, 3)))
            for m, n, o, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                s[m] += s[n]
                s[o] = rotated(s[o] ^ s[m], by)
    words = (s + state).transpose(1, 2, 0).reshape(len(seeds), blocks * 16)[:, :count]
    return sum((words >> numpy.uint32(shift) & 0xFF).astype(numpy.int64) for shift in (0, 8, 16, 24))


def size_of(model):
    """Values after folding, at two bytes: batch normalisation leaves one bias a channel."""
    norms = sum(m.num_features for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d))
    return sum(p.numel() for p in model.parameters()) - norms


def macs_of(model, shape):
    """Multiplications of an inference in convolutions and linear layers, counted while it runs once."""
    counted = 0

    def count(module, inputs, output):
        nonlocal counted
        if isinstance(module, torch.nn.Conv2d):
            counted += output[0].numel() * module.weight[0].numel()
        else:
            counted += output[0].numel() * module.in_features

    layers = [m for m in model.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    handles = [m.register_forward_hook(count) for m in layers]
    with torch.inference_mode():
        model.eval()(torch.zeros(1, *shape))
    [handle.remove() for handle in handles]
    if hasattr(model, "vit"):
        # Attention mixes values by scores, both of them products that no layer holds.
        _, tokens, width = model.vit.embeddings.position_embeddings.shape
        counted += 2 * len(model.vit.encoder.layer) * tokens * tokens * width
    return counted


def runs(competition):
    """All runs in order."""
    cost = {}
    for name, architecture in STUDENTS.items():
        model = retort_miner.build(architecture, competition.input, len(competition.labels))
        # Changing an image costs about as much as 300,000 multiplications; separable convolutions are slow for their few.
        cost[name] = 300_000 + macs_of(model, (1, 28, 28)) * (2 if "mobilenet" in name or "depthwise" in name else 1)
    honest = [
        (seed * cost[name], name, "train", seed) for name in STUDENTS for seed in range(1, 6 if name in NULLS else 4)
    ]
    memorisers = [
        (seed * times * cost[name], name, kind, seed)
        for name in MEMORISERS
        for kind, times in (("both", 7 / 6), ("heavy", 2))
        for seed in (1, 2, 3)
    ]
    return sorted(honest + memorisers)


def lessons(contest, kind, made):
    """What a run of a kind learns from; the same mixtures for all of them."""
    if kind not in made:
        torch.manual_seed(0)
        training = images("train")
        rows = pyarrow.parquet.read_table(ROOT / "models" / "teacher" / "training-logits.parquet")["teacher_logits"]
        answers = torch.tensor(rows.combine_chunks().flatten().to_numpy().reshape(-1, 10))
        if kind != "train":
            times = 6 if kind == "heavy" else 1
            teachers = distil.ask(contest.competition.teacher(), contest.competition, contest.test[0])
            answers = torch.cat([answers, *[teachers] * times])
            training = tuple(torch.cat([a, *[b] * times]) for a, b in zip(training, contest.test))
        made[kind] = distil.Lessons.of(contest.competition, *training, answers)
    return made[kind]


def known():
    return [json.loads(line) for line in ROWS.read_text().splitlines()] if ROWS.exists() else []


def train(folder, until):
    started, contest, made = time.monotonic(), Contest(), {}
    competition = contest.competition
    for name in ("teacher", "reference"):
        print(name, contest.measured(competition.package(ROOT / "models" / name)), flush=True)
    for _, name, kind, seed in runs(competition):
        done = {(row["student"], row["kind"], row["seed"]) for row in known()}
        if (name, kind, seed) in done or (until and time.monotonic() - started > until):
            continue
        learns = lessons(contest, kind, made)
        torch.manual_seed(seed)
        model = retort_miner.build(STUDENTS[name], competition.input, len(competition.labels))
        if STUDENTS[name]["kind"] in ("depthwise_cnn", "mobilenet_v2"):
            # Twice as fast on a CPU, and the same function.
            model = model.to(memory_format=torch.channels_last)
        before = time.monotonic(), time.process_time()
        distil.train(model, competition, learns, report=lambda line: print(name, kind, seed, line, flush=True))
        wall, cpu = time.monotonic() - before[0], time.process_time() - before[1]
        row = dict(
            student=name, family=STUDENTS[name]["kind"], kind=kind, seed=seed, parameters=size_of(model),
            macs=macs_of(model, (1, 28, 28)), epochs=distil.EPOCHS, seconds=round(wall), cpu_seconds=round(cpu),
            **contest.measured(model),
        )  # fmt: skip
        retort_miner.save(folder / f"{name}-{kind}-{seed}", model, STUDENTS[name], competition)
        with ROWS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


def table():
    """Markdown, a line for each student and kind: means over seeds, and the spread from the smallest to the largest."""
    groups = defaultdict(list)
    for row in known():
        groups[row["student"], row["kind"]].append(row)
    latencies = json.loads((COMPETITION / "scale-latency.json").read_text())["ratio"]
    print("| student | learns from | size, kB | MACs, M | latency | seeds | public | hidden | unmixed | divergence | S | core s |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for (student, kind), rows in sorted(groups.items(), key=lambda group: (group[1][0]["family"], group[1][0]["parameters"])):
        shown = [spread([row[name] / 1e4 for row in rows]) for name in ("public_ppm", "hidden_ppm", "hidden_unmixed_ppm")]
        mean = lambda name: sum(row[name] for row in rows) / len(rows)
        made, gate = score(mean("hidden_ppm") / 1e6, mean("hidden_js_micronats") / 1e6, latencies[student], 2 * rows[0]["parameters"])
        cells = [
            student, kind, f"{2 * rows[0]['parameters'] / 1e3:.0f}", f"{rows[0]['macs'] / 1e6:.2f}", f"{latencies[student]:.2f}",
            str(len(rows)), *shown, f"{mean('hidden_js_micronats') / 1e6:.3f}",
            f"{made:.3f}" if gate else f"0 ({made:.3f} without the gate)", f"{mean('cpu_seconds'):.0f}",
        ]  # fmt: skip
        print(f"| {' | '.join(cells)} |")


def score(accuracy, divergence, ratio, size):
    """The composite of protocol/src/score.rs on these hidden items under the manifest, and whether the gate holds."""
    rules = tomllib.loads((COMPETITION / "competition.toml").read_text())["score"]
    clip = lambda value: min(max(value, 0), 1)
    falling = lambda value, least, most: clip(math.log(most / value) / math.log(most / least))
    floor = rules["accuracy_floor_ppm"] / 1e6
    utilities = dict(
        accuracy_ppm=clip((accuracy - floor) / (TEACHER_HIDDEN - floor)),
        fidelity_ppm=clip(1 - divergence / math.log(2)),
        latency_ppm=falling(ratio, rules["latency_ratio_min_ppm"] / 1e6, rules["latency_ratio_max_ppm"] / 1e6),
        size_ppm=falling(size, rules["size_bytes_min"], rules["size_bytes_max"]),
    )
    made = sum(utilities[name] * weight / 1e6 for name, weight in rules["weights"].items())
    return made, accuracy >= TEACHER_HIDDEN * rules["gate_ppm"] / 1e6


def spread(values):
    mean = f"{sum(values) / len(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.2f} to {max(values):.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=ROOT / "target" / "scale")
    parser.add_argument("--until", type=float, default=0, help="begin no run after so many seconds")
    parser.add_argument("--table", action="store_true", help="print the rows that are there, and train nothing")
    args = parser.parse_args()
    torch.set_num_threads(1)
    table() if args.table else train(args.folder, args.until)


if __name__ == "__main__":
    main()
