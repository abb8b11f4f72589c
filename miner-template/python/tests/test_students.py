"""What PyTorch users rely on: our modules are the catalogue's, and timm's checkpoints fit them.

Run by `cargo test -p retort python`, or `python -m unittest` in this folder's parent with retort-miner installed.
"""

import json
import math
import pathlib
import sys
import unittest

import timm
import torch
from safetensors.torch import load_file

import retort_miner
from retort_miner import Corrupt
from retort_miner.changes import moved
from retort_miner.competition import _check, _header

ROOT = pathlib.Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "models" / "fixtures"
sys.path.append(str(ROOT / "scripts"))
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


class Students(unittest.TestCase):
    def test_every_family_answers_as_the_library_that_its_names_come_from(self):
        seen = set()
        for folder in sorted(FIXTURES.iterdir()):
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
        for architecture, theirs in [(MOBILENET_V2, timm.create_model("mobilenetv2_100", **small)), (VIT, vit)]:
            with self.subTest(architecture["kind"]), torch.inference_mode():
                ours = retort_miner.build(architecture, SMALL, 10).eval()
                ours.load_state_dict(retort_miner.from_timm(theirs.state_dict(), architecture))
                images = torch.randn(8, 1, 28, 28)
                torch.testing.assert_close(ours(images), theirs.eval()(images), rtol=1e-3, atol=1e-3)

    def test_what_the_catalogue_lacks_is_named(self):
        for name in ("mobilenetv3_small_050", "efficientnet_lite0"):
            theirs = timm.create_model(name, num_classes=10, in_chans=1).state_dict()
            with self.assertRaisesRegex(ValueError, "^`blocks.* has no place in the catalogue's mobilenet_v2"):
                retort_miner.from_timm(theirs, MOBILENET_V2)

        theirs = timm.models.VisionTransformer(
            img_size=28, patch_size=7, embed_dim=32, depth=1, num_heads=4, init_values=1e-5, in_chans=1, num_classes=10
        ).state_dict()
        with self.assertRaisesRegex(ValueError, "^`blocks.0.ls1.gamma` has no place in the catalogue's vit"):
            retort_miner.from_timm(theirs, VIT)

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


class Downloads(unittest.TestCase):
    def test_other_bytes_than_promised_are_refused(self):
        with self.assertRaisesRegex(Corrupt, "the download is corrupt or the validator lies"):
            _check(b"other", "00" * 32)
        with self.assertRaisesRegex(Corrupt, "no RTIMG1 file"):
            _header(b"RTLOG1\0\0" + bytes(40), b"RTIMG1\0\0", 4)


if __name__ == "__main__":
    unittest.main()
