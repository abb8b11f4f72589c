"""What PyTorch users rely on: our modules are the catalogue's, and timm's checkpoints fit them.

Run by `cargo test -p retort python`, or `python -m unittest` in this folder's parent with retort-miner installed.
"""

import io
import json
import math
import pathlib
import sys
import tempfile
import unittest

import numpy
import PIL.Image
import pyarrow
import pyarrow.parquet
import timm
import torch
from safetensors.torch import load_file

import retort_miner
from retort_miner import Corrupt
from retort_miner.changes import moved
from retort_miner.competition import Competition, _check, _read
from retort_miner.epsilon import with_epsilon
from retort_miner.fitting import _in_transformers_5, fit

ROOT = pathlib.Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "models" / "fixtures"
sys.path.append(str(ROOT / "scripts"))
sys.path.append(str(ROOT / "miner-template" / "python"))
import distil  # noqa: E402
import golden_hidden  # noqa: E402
SMALL = {"channels": 1, "height": 28, "width": 28}
MOBILENET_V2 = {
    "kind": "mobilenet_v2",
    "stem": 32,
    "stem_stride": 2,
    "blocks": [
        {"expansion": expansion, "channels": channels, "repeats": repeats, "stride": stride}
        for expansion, channels, repeats, stride in [
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        ]
    ],
    "head": 1280,
}
VIT = {"kind": "vit", "patch": 7, "width": 32, "depth": 2, "heads": 4, "mlp_width": 64}
# 1e-6, which timm's transformers add to a variance.
TIMMS = {"norm_epsilon_ppb": 1_000}


@torch.no_grad()
def faint_deit():
    """A DeiT of timm's whose tokens are so faint that its eps decides, and 200 images."""
    torch.manual_seed(1)
    model = timm.create_model(
        "deit_tiny_patch16_224", img_size=28, patch_size=7, embed_dim=32, depth=2, num_heads=4, mlp_ratio=2.0, in_chans=1,
        num_classes=10,
    ).eval()  # fmt: skip
    for name, values in model.named_parameters():
        if name in ("cls_token", "pos_embed") or name.startswith("patch_embed.") or ".proj." in name or ".fc2." in name:
            values.normal_(0, 2e-4)
        elif ".norm" not in name and not name.startswith("norm"):
            values.normal_(0, 0.5)
    return model, torch.randn(200, 1, 28, 28)


class Students(unittest.TestCase):
    def test_every_family_answers_as_the_library_that_its_names_come_from(self):
        seen = set()
        for folder in sorted(config.parent for config in FIXTURES.glob("*/config.json")):
            with self.subTest(folder.name), torch.inference_mode():
                config = json.loads((folder / "config.json").read_text())
                tensors = load_file(folder / "model.safetensors")
                # As the validator completes it by the names of tensors.
                if "conv1.bias" in tensors:
                    config["architecture"]["batch_norm_fused"] = True
                model = retort_miner.build(config["architecture"], config["input"], len(config["labels"])).eval()
                model.load_state_dict({name: tensor.to(model.state_dict()[name].dtype) for name, tensor in tensors.items()})
                expected = load_file(folder / "expected.safetensors")
                competition = retort_miner.Competition("", "", {"manifest": config})
                logits = model(competition.normalised(expected["images"]))
                torch.testing.assert_close(logits, expected["logits"], rtol=1e-4, atol=1e-4)
                seen.add(config["architecture"]["kind"])
        self.assertEqual(seen, set(retort_miner.students.FAMILIES))

    def test_checkpoints_of_timm_fit_after_renaming(self):
        torch.manual_seed(1)
        small = {"in_chans": 1, "num_classes": 10}
        vit = timm.models.VisionTransformer(
            img_size=28, patch_size=7, embed_dim=32, depth=2, num_heads=4, mlp_ratio=2.0, **small
        )
        mobilenet = timm.create_model("mobilenetv2_100", **small)
        for architecture, theirs in [(MOBILENET_V2, mobilenet), (VIT | TIMMS, vit)]:
            with self.subTest(architecture["kind"]), torch.inference_mode():
                ours = retort_miner.build(architecture, SMALL, 10).eval()
                ours.load_state_dict(retort_miner.from_timm(theirs, architecture))
                images = torch.randn(8, 1, 28, 28)
                torch.testing.assert_close(ours(images), theirs.eval()(images), rtol=1e-3, atol=1e-3)

    @torch.inference_mode()
    def test_a_transformer_of_timm_keeps_its_labels_with_its_epsilon(self):
        theirs, images = faint_deit()
        labels = theirs(images).argmax(1)
        self.assertGreater(len(labels.unique()), 5)
        right = {}
        for name, architecture in [("timm's", VIT | TIMMS), ("transformers'", VIT)]:
            ours = retort_miner.build(architecture, SMALL, 10).eval()
            ours.load_state_dict(retort_miner.from_timm(theirs, VIT | TIMMS))
            right[name] = (ours(images).argmax(1) == labels).sum().item()
        self.assertEqual(right["timm's"], 200)
        self.assertLess(right["transformers'"], 190, "or else this test would see nothing")

        with self.assertRaisesRegex(ValueError, 'eps 1e-06: write "norm_epsilon_ppb": 1000 into the architecture'):
            retort_miner.from_timm(theirs, VIT)
        with self.assertWarnsRegex(UserWarning, '"norm_epsilon_ppb": 1000'):
            retort_miner.from_timm(theirs.state_dict(), VIT)

    def test_what_is_saved_says_the_epsilon_of_its_normalisations(self):
        theirs, _ = faint_deit()
        self.assertEqual(with_epsilon(VIT, theirs), VIT | TIMMS)
        self.assertEqual(with_epsilon(VIT | TIMMS, theirs), VIT | TIMMS)
        self.assertEqual(with_epsilon(VIT, retort_miner.build(VIT, SMALL, 10)), VIT, "1e-12 is left out")
        resnet = {"kind": "resnet", "width": 4, "blocks": [1]}
        keras = resnet | {"norm_epsilon_ppb": 1_000_000}
        self.assertEqual(with_epsilon(resnet, retort_miner.build(keras, SMALL, 10)), keras)
        fused = resnet | {"batch_norm_fused": True}
        self.assertEqual(with_epsilon(fused, retort_miner.build(fused, SMALL, 10)), fused)

        with self.assertRaisesRegex(ValueError, "eps 1e-06, and the architecture says `norm_epsilon_ppb` 10000: write 1000"):
            with_epsilon(VIT | {"norm_epsilon_ppb": 10_000}, theirs)
        theirs.norm.eps = 1e-5
        with self.assertRaisesRegex(ValueError, "these have 1e-06 in `blocks.0.norm1` and 1e-05 in `norm`"):
            with_epsilon(VIT, theirs)
        odd = retort_miner.build(VIT, SMALL, 10)
        for module in odd.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.eps = 1e-10
        with self.assertRaisesRegex(ValueError, "eps 1e-10, which the catalogue can't say"):
            with_epsilon(VIT, odd)

    def test_what_the_catalogue_lacks_is_named(self):
        for name in ("mobilenetv3_small_050", "efficientnet_lite0"):
            theirs = timm.create_model(name, num_classes=10, in_chans=1).state_dict()
            with self.assertRaisesRegex(ValueError, "^`blocks.* has no place in the catalogue's mobilenet_v2"):
                retort_miner.from_timm(theirs, MOBILENET_V2)

        theirs = timm.models.VisionTransformer(
            img_size=28, patch_size=7, embed_dim=32, depth=1, num_heads=4, init_values=1e-5, in_chans=1, num_classes=10
        )
        with self.assertRaisesRegex(ValueError, "^`blocks.0.ls1.gamma` has no place in the catalogue's vit"):
            retort_miner.from_timm(theirs, VIT | TIMMS)

    def test_a_model_that_isnt_its_architecture_is_refused_before_anything_is_written(self):
        competition = retort_miner.Competition("", "", {"manifest": {"input": SMALL, "labels": ["a", "b", "c", "d"]}})
        flat, mlp = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 5)), {"kind": "mlp", "hidden": [44]}
        resnet = {"kind": "resnet", "width": 4, "blocks": [1]}
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "student"
            for model, architecture, says in [
                (flat, mlp, r"`1.weight` has shape \[5, 784\], not \[44, 784\]; nothing"),
                (flat, {"kind": "mlp", "hidden": []}, r"with 4 labels: `1.weight` has shape \[5, 784\], not \[4, 784\]"),
                (retort_miner.build(resnet, SMALL, 4), resnet | {"blocks": [2]}, "`layer1.1.*` of shape .* is missing"),
                (retort_miner.build(resnet | {"blocks": [2]}, SMALL, 4), resnet, "`layer1.1.*` of shape .* has no place"),
                (flat, {"kind": "mlp", "width": 44}, "is no architecture of the catalogue"),
            ]:
                with self.assertRaisesRegex(retort_miner.RetortError, says):
                    retort_miner.save(out, model, architecture, competition)
            self.assertFalse(out.exists())

    def test_what_a_validator_reads_over_is_no_reason_to_refuse(self):
        labels, fused = list("abcd"), {"batch_norm_fused": True}
        resnet, mlp = {"kind": "resnet", "width": 4, "blocks": [1, 1]}, {"kind": "mlp", "hidden": [8]}
        tensors = lambda architecture: retort_miner.build(architecture, SMALL, 4).state_dict()
        for architecture, state in [
            (resnet, {"model._orig_mod." + name: tensor for name, tensor in tensors(resnet).items()}),
            (resnet, tensors(resnet | fused)),
            (mlp, tensors(mlp | {"bias": False})),
            (VIT, {_in_transformers_5(name): tensor for name, tensor in tensors(VIT).items()}),
            (VIT, tensors(VIT) | {"vit.pooler.dense.weight": torch.zeros(32, 32)}),
        ]:
            seed = torch.get_rng_state()
            fit(architecture, state, SMALL, labels)
            self.assertTrue(torch.equal(seed, torch.get_rng_state()), "whoever trains on has the same random numbers")

    def test_an_unknown_family_is_named_with_those_that_there_are(self):
        with self.assertRaisesRegex(ValueError, "no family is called 'lstm'; there are mlp, resnet"):
            retort_miner.build({"kind": "lstm"}, SMALL, 10)


STILL = dict(
    shift_px_max=0, rotation_millidegrees_max=0, scale_ppm_min=1_000_000, scale_ppm_max=1_000_000,
    brightness_ppm_min=1_000_000, brightness_ppm_max=1_000_000, noise_levels_max=0, cutout_px_max=0, mixture_ppm=0,
    mixture_share_ppm_min=1_000_000, mixture_share_ppm_max=1_000_000,
)  # fmt: skip


class HiddenRounds(unittest.TestCase):
    def test_images_are_moved_as_the_validator_moves_them(self):
        torch.manual_seed(1)
        image = torch.randint(256, (1, 1, 13, 17), dtype=torch.uint8)
        for dx, dy, rotation, scale in [(2, -1, 0, 1_000_000), (0, 0, 4_000, 1_030_000), (-2, 2, -3_500, 970_000)]:
            angle = torch.tensor([rotation * math.pi / 180_000])
            ours = moved(image.float(), angle, torch.tensor([scale / 1e6]), torch.tensor([dx]), torch.tensor([dy]))
            change = dict(source=0, other=None, dx=dx, dy=dy, rotation=rotation, scale=scale, brightness=1_000_000)
            rest = dict(noise=0, noise_seed=0, side=0, x=0, y=0)
            theirs = golden_hidden.render([image.flatten().tolist()], change | rest, 13, 17)
            off = (ours.flatten() - torch.tensor(list(theirs))).abs().max()
            # Positions are rounded to a 256th of a pixel there.
            self.assertLessEqual(off, 2, (dx, dy, rotation, scale))

    def test_each_change_is_drawn_from_the_competitions_range(self):
        torch.manual_seed(1)
        images = torch.randint(1, 200, (400, 1, 9, 9), dtype=torch.uint8)
        changed = lambda **family: retort_miner.Changes(STILL | family).changed(images)
        self.assertTrue(torch.equal(changed(), images))
        self.assertFalse((changed(shift_px_max=1) == images).flatten(1).all(1).any(), "no item stays in place")
        blanked = (changed(cutout_px_max=3) == 0).flatten(1).sum(1)
        self.assertEqual((blanked.min(), blanked.max()), (0, 9))
        noise = (changed(noise_levels_max=4).float() - images).flatten(1).std(1)
        self.assertTrue(0 <= noise.min() < 0.1 and 3 < noise.max() < 6, noise)
        brighter = changed(brightness_ppm_max=1_100_000).float() / images
        self.assertTrue(brighter.flatten(1).mean(1).max() < 1.11 and (brighter.flatten(1).mean(1) > 1.05).any())
        mixing = retort_miner.Changes(STILL | dict(mixture_share_ppm_min=600_000, mixture_share_ppm_max=600_000))
        mixed = mixing.mixed(images[:1], images[1:2]).float()
        self.assertLessEqual((mixed - (0.6 * images[0] + 0.4 * images[1])).abs().max(), 0.6)


class Recipe(unittest.TestCase):
    def test_few_images_are_shown_in_enough_steps_and_many_as_ever(self):
        self.assertEqual(distil.schedule(60_000), (10, 128))
        self.assertEqual(distil.schedule(200, epochs=3), (3, 8), "what is asked for stands above it")
        for images in (1, 7, 200, 2_000, 6_400, 13_000):
            epochs, batch = distil.schedule(images)
            self.assertTrue(batch <= images and epochs * (images // batch) >= 1_000, (images, epochs, batch))


class Downloads(unittest.TestCase):
    def test_other_bytes_than_promised_are_refused(self):
        with self.assertRaisesRegex(Corrupt, "the download is corrupt or the validator lies"):
            _check(b"other", "00" * 32)

    def test_a_part_is_read_as_it_was_published(self):
        pixels = numpy.arange(2 * 3 * 4 * 5, dtype=numpy.uint8).reshape(2, 3, 4, 5)
        competition = published(pixels, labels=[1, 0], answers=[[0.5, -1.0], [2.0, 0.25]])
        images, labels = competition.training()
        self.assertTrue(torch.equal(images, torch.from_numpy(pixels)))
        self.assertEqual(labels.tolist(), [1, 0])
        self.assertEqual(competition.training_teacher_logits().tolist(), [[0.5, -1.0], [2.0, 0.25]])
        self.assertIsNone(published(pixels, labels=[1, 0], answers=[None, None]).training_teacher_logits())

    def test_what_no_validator_publishes_is_refused(self):
        pixels = numpy.zeros((2, 1, 4, 5), numpy.uint8)
        with self.assertRaisesRegex(Corrupt, "it is compressed"):
            published(pixels, labels=[0, 1], compression="zstd").training()
        with self.assertRaisesRegex(Corrupt, "other classes than the 2"):
            published(pixels, labels=[0, 2]).training()
        with self.assertRaisesRegex(Corrupt, "a picture is L of"):
            published(pixels, labels=[0, 1], width=6).training()
        with self.assertRaisesRegex(Corrupt, "no 2 logits"):
            published(pixels, labels=[0, 1], answers=[[1.0], [1.0, 2.0]]).training_teacher_logits()
        with self.assertRaisesRegex(Corrupt, "no published part"):
            _read(b"RTIMG1\0\0", ["image"])


def published(pixels, labels, answers=None, compression="none", width=None):
    """A competition of two classes whose training part is such a file."""

    def png(image):
        body = io.BytesIO()
        PIL.Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(body, "png")
        return {"bytes": body.getvalue(), "path": None}

    rows = {
        "image": pyarrow.array([png(image) for image in pixels]),
        "label": pyarrow.array(labels, pyarrow.int64()),
        "teacher_logits": pyarrow.array(answers or [None] * len(labels), pyarrow.list_(pyarrow.float32())),
    }
    body = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(rows), body, compression=compression, use_dictionary=False)
    _, channels, height, real = pixels.shape
    shape = {"channels": channels, "height": height, "width": width or real}
    competition = Competition("", "", {"manifest": {"input": shape, "labels": ["a", "b"]}, "tables": {"training": {}}})
    competition._object = lambda reference, what: body.getvalue()
    return competition


if __name__ == "__main__":
    unittest.main()
