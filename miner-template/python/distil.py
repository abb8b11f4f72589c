"""Distils a student from a competition's teacher in PyTorch for its hidden rounds, packs it, checks it, submits it.

    python distil.py http://127.0.0.1:7070/competitions/fashion-mnist --out my-student [--hotkey FILE]

Change `ARCHITECTURE` and `loss_of`, and it is yours.
"""

import argparse
from dataclasses import dataclass

import torch
from torch.nn import functional

import retort_miner
from retort_miner import Changes, Competition

ARCHITECTURE = {"kind": "resnet", "width": 10, "blocks": [1, 1, 1], "stem_stride": 2}
EPOCHS, RATE, BATCH, WEIGHT_DECAY = 10, 6e-3, 128, 0.02
TEMPERATURE = 4.0
# The teacher is asked about each, which takes longer than to train a small student on it a few times.
MIXTURES_MAX = 20_000


def loss_of(student, teacher, labels):
    """Hinton et al. (2015): a little of the truth, most of the teacher's softened answer."""
    truth = functional.cross_entropy(student, labels)
    softened = functional.log_softmax(student / TEMPERATURE, 1), functional.log_softmax(teacher / TEMPERATURE, 1)
    return 0.1 * truth + 0.9 * TEMPERATURE**2 * functional.kl_div(*softened, reduction="batchmean", log_target=True)


@dataclass
class Lessons:
    """Images with labels and the teacher's answers; and mixtures, which only the teacher can label.

    A hidden round changes every item a little, which leaves its label and hardly moves the teacher: those changes are
    drawn anew each time, beside the teacher's answer to the image as it is. A mixture's answer is the teacher's own, so
    mixtures are made once and the teacher is asked once.
    """

    images: torch.Tensor
    labels: torch.Tensor
    answers: torch.Tensor
    mixtures: torch.Tensor
    mixed_answers: torch.Tensor

    @classmethod
    def of(cls, competition, images, labels, answers=None, epochs=EPOCHS):
        changes, teacher = Changes(competition.changes), competition.teacher()
        # Each is shown once at least, and no image is the main one of two.
        shown = min(int(epochs * len(images) * competition.changes["mixture_ppm"] / 1e6), MIXTURES_MAX)
        main, other = (torch.randperm(len(images))[: max(shown, 1)].split(500) for _ in range(2))
        mixtures = torch.cat([changes.mixed(images[a], images[b]) for a, b in zip(main, other)])
        answers = ask(teacher, competition, images) if answers is None else answers
        return cls(images, labels, answers, mixtures, ask(teacher, competition, mixtures))

    def batch(self, chosen, changes):
        """Changed images, the teacher's answers and labels."""
        images, answers, labels = changes.changed(self.images[chosen]), self.answers[chosen], self.labels[chosen]
        mixed = changes.which_mixed(len(chosen))
        which = torch.randint(len(self.mixtures), (int(mixed.sum()),))
        images[mixed], answers[mixed] = self.mixtures[which], self.mixed_answers[which]
        labels[mixed] = answers[mixed].argmax(1)
        return images, answers, labels


def train(model, competition, lessons, epochs=EPOCHS, rate=RATE, report=print):
    changes = Changes(competition.changes)
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=WEIGHT_DECAY)
    steps = epochs * (len(lessons.labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.2)
    for epoch in range(epochs):
        model.train()
        order = torch.randperm(len(lessons.labels))
        for chosen in order[: len(order) // BATCH * BATCH].split(BATCH):
            images, answers, labels = lessons.batch(chosen, changes)
            loss = loss_of(model(competition.normalised(images)), answers, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        report(f"epoch {epoch + 1}/{epochs}: loss {loss.item():.3f}")
    return model.eval()


@torch.inference_mode()
def ask(model, competition, images):
    """A model's logits."""
    return torch.cat([model.eval()(competition.normalised(part)) for part in images.split(500)])


def right(model, competition, images, labels):
    """The share of images that a model names rightly."""
    return (ask(model, competition, images).argmax(1) == labels).float().mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("competition", help="http://HOST:PORT/competitions/ID")
    parser.add_argument("--out", default="my-student", help="the package's folder (default: my-student)")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--rate", type=float, default=RATE, help="the largest learning rate")
    parser.add_argument("--seed", type=int, help="random unless given: students of one seed look like copies")
    parser.add_argument("--hotkey", help="submit under this hotkey file (`retort keys new FILE`)")
    args = parser.parse_args()
    if args.seed is not None:
        torch.manual_seed(args.seed)
    else:
        torch.seed()

    competition = Competition.fetch(args.competition)
    model = retort_miner.build(ARCHITECTURE, competition.input, len(competition.labels))
    lessons = Lessons.of(competition, *competition.training(), competition.training_teacher_logits(), args.epochs)
    train(model, competition, lessons, args.epochs, args.rate)
    images, labels = competition.public()
    changed = Changes(competition.changes).changed(images)
    print(f"{right(model, competition, images, labels):.1%} of public items, "
          f"{right(model, competition, changed, labels):.1%} of them changed as in a hidden round")
    package = retort_miner.save(args.out, model, ARCHITECTURE, competition)

    checked = retort_miner.check(package, competition)
    print(f"{package} would be admitted; predicted rank {checked['predicted_rank']}")
    if args.hotkey:
        status = retort_miner.submit(package, competition, args.hotkey, wait=True)
        print(f"submission {status['id']} is {status['state']}, rank {status['rank']}")


if __name__ == "__main__":
    main()
