"""What honest students say alike, and what copies of them and of the teacher do: the nulls of docs/COPIES.md that outputs alone
decide, by a second implementation of copies/src/residuals.rs.

    $(scripts/python.sh torch) scripts/copies_outputs.py FOLDER [FOLDER ...]

FOLDERs are those of `scripts/copies_null.py` (one folder a family below it) or of `scripts/scale.py` (packages trained
to the recipe's end). Probes are those of the calibration, fresh items those of scripts/scale.py, the first 1,000. Prints
Markdown.
"""

import itertools
import pathlib
import sys

import numpy
import torch

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "scripts"), str(ROOT / "copies" / "tests")]

import probes  # noqa: E402
import scale  # noqa: E402

SEED = b"retort copies, calibration, 2026"
PROBES, FRESH = 256, 1_000


def standardised(logits):
    z = logits.double() - logits.double().mean(1, keepdim=True)
    deviation = z.pow(2).mean(1, keepdim=True).sqrt()
    return torch.where(deviation > 0, z / deviation, torch.zeros_like(z))


def residual(student, teacher):
    s, t = standardised(student), standardised(teacher)
    r = s - (s * t).sum() / (t * t).sum() * t
    return r - r.mean(0)


def correlation(a, b):
    return float((a * b).sum() / ((a * a).sum() * (b * b).sum()).sqrt())


def unexplained(a, b):
    return 1 - max(correlation(standardised(a), standardised(b)), 0) ** 2


class Items:
    """The probes and the fresh items, and what the teacher says of them."""

    def __init__(self):
        self.contest = scale.Contest()
        drawing = probes.Drawing(SEED)
        pixels = [drawing.picture(probe % 4, 28, 28) for probe in range(PROBES)]
        self.images = {
            "probes": torch.from_numpy(numpy.array(pixels, numpy.uint8)).reshape(PROBES, 1, 28, 28),
            "fresh": self.contest.hidden[0][:FRESH],
        }
        self.teacher = self.ask(self.contest.competition.teacher())

    def ask(self, model):
        model = model.eval()
        return {name: scale.distil.ask(model, self.contest.competition, x) for name, x in self.images.items()}

    def said(self, folder):
        return self.ask(self.contest.competition.package(folder))


def packages(folder, prefix):
    return sorted(path.parent for path in folder.glob(f"**/{prefix}*/model.safetensors"))


def span(values):
    values = list(values)
    return f"{min(values):.3f} .. {max(values):.3f}" if values else "-"


def null(items, groups):
    """Honest pairs of each group, and of all."""
    print("| honest pairs | n | rc on probes | rc on fresh items |\n|---|---|---|---|")
    residuals = {}
    for name, students in groups.items():
        residuals[name] = [{on: residual(said[on], items.teacher[on]) for on in said} for said in students]
    pairs = {name: list(itertools.combinations(of, 2)) for name, of in residuals.items()}
    names = list(residuals)
    pairs["across groups"] = [
        pair for a, b in itertools.combinations(names, 2) for pair in itertools.product(residuals[a], residuals[b])
    ]
    for name, of in pairs.items():
        rc = {on: [correlation(a[on], b[on]) for a, b in of] for on in ("probes", "fresh")}
        print(f"| {name} | {len(of)} | {span(rc['probes'])} | {span(rc['fresh'])} |")
    print(f"\n{sum(map(len, pairs.values()))} honest pairs\n")


def beside_teacher(items, groups):
    print("| beside the teacher | n | unexplained on probes | on fresh items |\n|---|---|---|---|")
    for name, students in groups.items():
        both = [[unexplained(said[on], items.teacher[on]) for said in students] for on in ("probes", "fresh")]
        print(f"| {name} | {len(students)} | {span(both[0])} | {span(both[1])} |")
    for name, change in DAMAGES.items():
        said = items.ask(damaged(items.contest.competition.teacher(), change))
        found = [f"{unexplained(said[on], items.teacher[on]):.6f}" for on in ("probes", "fresh")]
        print(f"| the teacher, {name} | 1 | {found[0]} | {found[1]} |")
    print()


def noise(share):
    return lambda tensor: tensor + share * tensor.std() * torch.randn_like(tensor)


DAMAGES = {
    "f16": lambda tensor: tensor.half().float(),
    "noise 1 %": noise(0.01),
    "noise 5 %": noise(0.05),
    "noise 10 %": noise(0.1),
    "int8": lambda tensor: (tensor / (step := tensor.abs().max() / 127)).round() * step if tensor.dim() > 1 else tensor,
}


@torch.no_grad()
def damaged(model, change):
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.numel() > 1:
            parameter.copy_(change(parameter))
    return model.eval()


@torch.no_grad()
def both(items, paths):
    """The mean of what two students say, and what the mean of their numbers says."""
    first, second = (items.contest.competition.package(path) for path in paths)
    says = [items.ask(model) for model in (first, second)]
    yield "ensemble of two, each member", {on: (says[0][on] + says[1][on]) / 2 for on in says[0]}
    other = second.state_dict()
    mean = {name: (t + other[name]) / 2 if t.is_floating_point() else t for name, t in first.state_dict().items()}
    first.load_state_dict(mean)
    yield "50/50 average, each", items.ask(first)


def copies(items, folder):
    """A student under damage that keeps its shape, and what was trained on from one, against the original."""
    print("| copies | n | rc on probes | rc on fresh items |\n|---|---|---|---|")
    originals = {path.name: path for path in packages(folder, "independent-0-")}
    rows = {}

    def beside(name, original, said):
        before = items.said(original)
        rows.setdefault(name, []).append(
            [correlation(residual(before[on], items.teacher[on]), residual(said[on], items.teacher[on]))
             for on in ("probes", "fresh")]
        )  # fmt: skip

    for path in list(originals.values())[:3]:
        for name, change in DAMAGES.items():
            beside(name, path, items.ask(damaged(items.contest.competition.package(path), change)))
    for name, prefix in (("fine-tuned, 1 epoch", "fine-tuned-"), ("hot fine-tune", "hot-"), ("distilled from it", "distilled-")):
        for path in packages(folder, prefix):
            original = originals[f"independent-0-{path.name.rsplit('-', 1)[1]}"]
            beside(name, original, items.said(path))
    start = [items.said(path) for path in packages(folder, "same-start-")]
    for a, b in itertools.combinations(start, 2):
        alike = [correlation(*(residual(said[on], items.teacher[on]) for said in (a, b))) for on in ("probes", "fresh")]
        rows.setdefault("same initial weights", []).append(alike)
    for name, said in both(items, list(originals.values())[:2]):
        for original in list(originals.values())[:2]:
            beside(name, original, said)
    for name, found in rows.items():
        print(f"| {name} | {len(found)} | {span(x[0] for x in found)} | {span(x[1] for x in found)} |")
    print()


def main():
    torch.set_num_threads(1)
    items = Items()
    groups, families = {}, []
    for folder in map(pathlib.Path, sys.argv[1:]):
        if any(folder.glob("*-train-*")):
            found = packages(folder, "*-train-")
            groups["to the recipe's end"] = [items.said(path) for path in found]
            continue
        for family in sorted(path for path in folder.iterdir() if path.is_dir()):
            families.append(family)
            groups[f"{family.name}, short"] = [items.said(path) for path in packages(family, "independent-")]
    null(items, groups)
    beside_teacher(items, groups)
    for family in families:
        print(f"### {family.name}\n")
        copies(items, family)


if __name__ == "__main__":
    main()
