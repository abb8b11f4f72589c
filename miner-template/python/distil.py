"""Distils a student from a competition's teacher in PyTorch, packs it, checks it, submits it.

    python distil.py http://127.0.0.1:7070/competitions/fashion-mnist --out my-student [--hotkey FILE]

Change `ARCHITECTURE` and `loss_of`, and it is yours.
"""

import argparse

import torch
from torch.nn import functional

import retort_miner
from retort_miner import Competition

ARCHITECTURE = {"kind": "resnet", "width": 12, "blocks": [1, 1, 1], "stem_stride": 2}
TEMPERATURE = 4.0


def loss_of(student, teacher, labels):
    """Hinton et al. (2015): half the truth, half the teacher's softened answer."""
    truth = functional.cross_entropy(student, labels)
    if teacher is None:
        return truth
    softened = functional.log_softmax(student / TEMPERATURE, 1), functional.log_softmax(teacher / TEMPERATURE, 1)
    return 0.5 * truth + 0.5 * TEMPERATURE**2 * functional.kl_div(*softened, reduction="batchmean", log_target=True)


def train(model, competition, epochs, rate, batch=128):
    images, labels = competition.training()
    teacher = competition.training_teacher_logits()
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.01)
    steps = epochs * (len(labels) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for epoch in range(epochs):
        model.train()
        order = torch.randperm(len(labels))
        for chosen in order[: len(labels) // batch * batch].split(batch):
            x = competition.normalised(images[chosen])
            # The teacher answered the images as they are; a flip hardly changes its mind.
            x = x.flip(3) if torch.rand(()) < 0.5 else x
            loss = loss_of(model(x), None if teacher is None else teacher[chosen], labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}/{epochs}: loss {loss.item():.3f}, {accuracy(model, competition):.1%} right", flush=True)


@torch.inference_mode()
def accuracy(model, competition):
    model.eval()
    images, labels = competition.public()
    parts = zip(images.split(500), labels.split(500))
    return sum((model(competition.normalised(x)).argmax(1) == y).sum().item() for x, y in parts) / len(labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("competition", help="http://HOST:PORT/competitions/ID")
    parser.add_argument("--out", default="my-student", help="the package's folder (default: my-student)")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rate", type=float, default=5e-3, help="the largest learning rate")
    parser.add_argument("--seed", type=int, help="random unless given: students of one seed look like copies")
    parser.add_argument("--hotkey", help="submit under this hotkey file (`retort keys new FILE`)")
    args = parser.parse_args()
    if args.seed is not None:
        torch.manual_seed(args.seed)
    else:
        torch.seed()

    competition = Competition.fetch(args.competition)
    model = retort_miner.build(ARCHITECTURE, competition.input, len(competition.labels))
    train(model, competition, args.epochs, args.rate)
    package = retort_miner.save(args.out, model.eval(), ARCHITECTURE, competition)

    checked = retort_miner.check(package, competition)
    print(f"{package} would be admitted; predicted rank {checked['predicted_rank']}")
    if args.hotkey:
        status = retort_miner.submit(package, competition, args.hotkey, wait=True)
        print(f"submission {status['id']} is {status['state']}, rank {status['rank']}")


if __name__ == "__main__":
    main()
