"""Distils a student from a competition's teacher in PyTorch for its hidden rounds, packs it, checks it, submits it.

    python distil.py http://127.0.0.1:7070/competitions/fashion-mnist --out my-student [--hotkey FILE]

Change `ARCHITECTURE` and `loss_of`, and it is yours.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass

import torch
from torch.nn import functional

import retort_miner
from retort_miner import Changes, Competition, Corrupt, RetortError, Stopwatch

ARCHITECTURE = {"kind": "resnet", "width": 10, "blocks": [1, 1, 1], "stem_stride": 2}
EPOCHS, RATE, BATCH, WEIGHT_DECAY = 10, 6e-3, 128, 0.02
# Few images: smaller batches, so that an epoch has so many steps, and more epochs, so that there are so many in all.
STEPS_EPOCH, STEPS_ALL, BATCH_MIN = 50, 1000, 8
TEMPERATURE = 4.0
# The teacher is asked about each, which takes longer than to train a small student on it a few times.
MIXTURES_MAX = 20_000


def note(words):
    """What goes on, beside what comes of it."""
    print(words, file=sys.stderr, flush=True)


def loss_of(student, teacher, labels):
    """Hinton et al. (2015): a little of the truth, most of the teacher's softened answer."""
    truth = functional.cross_entropy(student, labels)
    softened = functional.log_softmax(student / TEMPERATURE, 1), functional.log_softmax(teacher / TEMPERATURE, 1)
    return 0.1 * truth + 0.9 * TEMPERATURE**2 * functional.kl_div(*softened, reduction="batchmean", log_target=True)


def schedule(images, epochs=None):
    """How many epochs of which batches so many images are shown in: ``epochs`` if they are given."""
    batch = min(BATCH, max(BATCH_MIN, images // STEPS_EPOCH), images)
    return epochs or max(EPOCHS, -(-STEPS_ALL // (images // batch))), batch


@dataclass
class Lessons:
    """Images with labels and the teacher's answers; and mixtures, which only the teacher can label.

    A hidden round changes every item a little, which leaves its label and hardly moves the teacher: those changes are
    drawn anew each time, beside the teacher's answer to the image as it is. A mixture's answer is the teacher's own, so
    mixtures are made once and the teacher is asked once. A teacher that is known by its answers only can't be asked, and its
    rounds change nothing: there are no mixtures, and images stay as they are.
    """

    images: torch.Tensor
    labels: torch.Tensor
    answers: torch.Tensor
    mixtures: torch.Tensor
    mixed_answers: torch.Tensor

    @classmethod
    def of(cls, competition, images, labels, answers=None, epochs=EPOCHS):
        changes, teacher = Changes(competition.changes), competition.teacher()
        if teacher is None:
            return cls(images, labels, answers, images[:0], answers[:0])
        # Each is shown once at least, and no image is the main one of two.
        shown = min(int(epochs * len(images) * competition.changes["mixture_ppm"] / 1e6), MIXTURES_MAX)
        main, other = (torch.randperm(len(images))[: max(shown, 1)].split(500) for _ in range(2))
        mixtures = torch.cat([changes.mixed(images[a], images[b]) for a, b in zip(main, other)])
        if answers is None:
            answers = ask(teacher, competition, images, "the teacher about training images", competition.report)
        mixed = ask(teacher, competition, mixtures, "the teacher about mixtures", competition.report)
        return cls(images, labels, answers, mixtures, mixed)

    def batch(self, chosen, changes):
        """Changed images, the teacher's answers and labels."""
        images, answers, labels = changes.changed(self.images[chosen]), self.answers[chosen], self.labels[chosen]
        mixed = changes.which_mixed(len(chosen))
        which = torch.randint(max(len(self.mixtures), 1), (int(mixed.sum()),))
        images[mixed], answers[mixed] = self.mixtures[which], self.mixed_answers[which]
        labels[mixed] = answers[mixed].argmax(1)
        return images, answers, labels


def train(model, competition, lessons, epochs=EPOCHS, rate=RATE, batch=BATCH, report=note):
    changes = Changes(competition.changes)
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=WEIGHT_DECAY)
    whole = len(lessons.labels) // batch * batch
    steps = epochs * (whole // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.2)
    report(f"training: {epochs} x {whole // batch} steps of {batch} images")
    step, watch = 0, Stopwatch(report, "training", steps, "steps")
    for epoch in range(epochs):
        model.train()
        for chosen in torch.randperm(len(lessons.labels))[:whole].split(batch):
            images, answers, labels = lessons.batch(chosen, changes)
            loss = loss_of(model(competition.normalised(images)), answers, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            watch.at(step, f", epoch {epoch + 1}, loss {loss.item():.3f}")
    report(f"trained: loss {loss.item():.3f} at the end")
    return model.eval()


@torch.inference_mode()
def ask(model, competition, images, whom="the model", report=lambda words: None):
    """A model's logits; ``report`` hears how far it is and how long the rest takes."""
    report(f"asking {whom}: {len(images)} images")
    logits, watch = [], Stopwatch(report, f"asking {whom}", len(images), "images")
    for part in images.split(500):
        logits.append(model.eval()(competition.normalised(part)))
        watch.at(sum(map(len, logits)))
    return torch.cat(logits)


def right(model, competition, images, labels):
    """The share of images that a model names rightly."""
    return (ask(model, competition, images).argmax(1) == labels).float().mean().item()


def begin(address):
    """The competition and an untrained model, which the rules admit: what it costs is known by its shapes."""
    try:
        competition = Competition.fetch(address, note)
        model = retort_miner.build(ARCHITECTURE, competition.input, len(competition.labels))
    except (ValueError, TypeError) as problem:
        raise RetortError(str(problem)) from problem
    with tempfile.TemporaryDirectory() as folder:
        retort_miner.check(retort_miner.save(folder, model, ARCHITECTURE, competition), competition, rules_only=True)
    return competition, model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("competition", help="http://HOST:PORT/competitions/ID")
    parser.add_argument("--out", default="my-student", help="the package's folder (default: my-student)")
    parser.add_argument("--epochs", type=int, help=f"passes over the images (default: {EPOCHS}, or more where they are few)")
    parser.add_argument("--rate", type=float, default=RATE, help="the largest learning rate")
    parser.add_argument("--seed", type=int, help="random unless given: students of one seed look like copies")
    parser.add_argument("--hotkey", help="submit under this hotkey file (`retort keys new FILE`)")
    args = parser.parse_args()
    if args.seed is not None:
        torch.manual_seed(args.seed)
    else:
        torch.seed()

    competition, model = begin(args.competition)
    images, labels = competition.training()
    epochs, batch = schedule(len(images), args.epochs)
    lessons = Lessons.of(competition, images, labels, competition.training_teacher_logits(), epochs)
    train(model, competition, lessons, epochs, args.rate, batch)
    images, labels = competition.public()
    changed = Changes(competition.changes).changed(images)
    print(f"{right(model, competition, images, labels):.1%} of public items, "
          f"{right(model, competition, changed, labels):.1%} of them changed as in a hidden round")
    package = retort_miner.save(args.out, model, ARCHITECTURE, competition)

    note("checking it by the validator's own rules and engine: a minute or more")
    checked = retort_miner.check(package, competition)
    rank = checked["predicted_rank"] or "none: it is below the gate, or a copy"
    print(f"{package} would be admitted; predicted rank {rank}")
    if args.hotkey:
        status = retort_miner.submit(package, competition, args.hotkey, wait=True)
        print(f"submission {status['id']} is {status['state']}, rank {status['rank']}")


if __name__ == "__main__":
    try:
        main()
    except (RetortError, Corrupt, OSError) as problem:
        # What is wrong with an address, a network, an architecture or a package is no fault of this program.
        sys.exit("error: " + " ".join(str(problem).removeprefix("error: ").split()))
