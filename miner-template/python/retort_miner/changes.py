"""The changes of a hidden round, for training: what a competition's ``rounds.transforms`` says, drawn and made in PyTorch.

The validator makes its items in whole numbers (``datasets/src/hidden/render.rs``); this makes them in f32, which differs
by a level of a pixel here and there. Nothing here decides which items a round has.
"""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass
class Changes:
    """Draws changes of one family. Images are ``[n, channels, height, width]``, u8 in and u8 out."""

    family: dict
    generator: torch.Generator | None = None

    def changed(self, images: torch.Tensor) -> torch.Tensor:
        """Each image shifted, turned, scaled, brightened, made noisy and cut, as a round would."""
        images = self._cut_out(self._noisy(self._brightened(self._moved(images.float()))))
        return images.to(torch.uint8)

    def mixed(self, images: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """A mixture of each image with another one, then changed. Only the teacher can say what it shows."""
        share = self._between("mixture_share_ppm_min", "mixture_share_ppm_max", len(images)) / 1e6
        share = share.reshape(-1, 1, 1, 1)
        return self.changed((images * share + others * (1 - share)).round())

    def which_mixed(self, count: int) -> torch.Tensor:
        """Which of so many items a round would show as mixtures."""
        return torch.rand(count, generator=self.generator) < self.family["mixture_ppm"] / 1e6

    def _moved(self, images):
        most, count = self.family["rotation_millidegrees_max"], len(images)
        angle = (torch.rand(count, generator=self.generator) * 2 - 1) * most * math.pi / 180_000
        scale = self._between("scale_ppm_min", "scale_ppm_max", count) / 1e6
        return moved(images, angle, scale, *self._shift(count))

    def _shift(self, count):
        """Whole pixels; the middle cell never comes, unless it is the only one."""
        most = self.family["shift_px_max"]
        side = 2 * most + 1
        cell = torch.randint(max(side * side - 1, 1), (count,), generator=self.generator)
        cell += (cell >= (side * side - 1) // 2) & (most > 0)
        return cell % side - most, cell // side - most

    def _brightened(self, images):
        factor = self._between("brightness_ppm_min", "brightness_ppm_max", len(images)) / 1e6
        return (images * factor.reshape(-1, 1, 1, 1)).round().clamp(max=255)

    def _noisy(self, images):
        levels = torch.randint(self.family["noise_levels_max"] + 1, (len(images), 1, 1, 1), generator=self.generator)
        return (images + torch.randn(images.shape, generator=self.generator) * levels).round().clamp(0, 255)

    def _cut_out(self, images):
        count, _, height, width = images.shape
        side = torch.randint(self.family["cutout_px_max"] + 1, (count, 1), generator=self.generator)

        def blanked(length):
            first = torch.randint(length, (count, 1), generator=self.generator) - side // 2
            place = torch.arange(length)
            return (place >= first) & (place < first + side)

        square = blanked(height)[:, None, :, None] & blanked(width)[:, None, None, :]
        return images.masked_fill(square, 0)

    def _between(self, least, most, count):
        least, most = self.family[least], self.family[most]
        return least + torch.rand(count, generator=self.generator) * (most - least)


def moved(images, angle, scale, dx, dy):
    """Each image turned by an angle in radians, magnified and shifted, bilinear, with zeros outside."""
    _, _, height, width = images.shape
    cos, sin = angle.cos() / scale, angle.sin() / scale
    # grid_sample counts from -1 to 1 across an image, whatever its sides.
    ratio = (height - 1) / (width - 1)
    across = torch.stack([cos, sin * ratio, -(cos * dx + sin * dy) * 2 / (width - 1)], 1)
    down = torch.stack([-sin / ratio, cos, (sin * dx - cos * dy) * 2 / (height - 1)], 1)
    grid = functional.affine_grid(torch.stack([across, down], 1), list(images.shape), align_corners=True)
    return functional.grid_sample(images, grid, "bilinear", "zeros", align_corners=True).round()
