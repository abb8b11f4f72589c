"""Pictures for the network, for transformers: pipeline("image-classification", .., trust_remote_code=True).

Written by the validator. The network scales pixels itself, so they stay from 0 to 255; pictures of another
size become it as the competition says: stretched, their middle, or with black beside those of other proportions.
"""

import numpy
from PIL import Image
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature
from transformers.image_utils import load_image


class RetortImageProcessor(BaseImageProcessor):
    model_input_names = ["pixel_values"]

    def __init__(self, channels=1, height=28, width=28, fit="pad", shorter_side=0, **others):
        super().__init__(**others)
        self.channels, self.height, self.width = channels, height, width
        self.fit, self.shorter_side = fit, shorter_side

    def preprocess(self, images, return_tensors=None, **_):
        images = images if isinstance(images, (list, tuple)) else [images]
        return BatchFeature({"pixel_values": [self._pixels(image) for image in images]}, tensor_type=return_tensors)

    def _pixels(self, image):
        image = load_image(image) if isinstance(image, str) else image
        image = image if isinstance(image, Image.Image) else Image.fromarray(numpy.asarray(image))
        # What is transparent is black, the ground that models of drawings know.
        if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
        image = image.convert("L" if self.channels == 1 else "RGB")
        if image.size != (self.width, self.height):
            image = self._fitted(image)
        pixels = numpy.asarray(image, dtype=numpy.float32)
        return pixels[None] if self.channels == 1 else pixels.transpose(2, 0, 1)

    def _fitted(self, image):
        if self.fit == "stretch":
            return image.resize((self.width, self.height), Image.Resampling.BILINEAR)
        return self._middle(image) if self.fit == "crop" else self._in_the_middle_of_black(image)

    def _middle(self, image):
        """After its shorter side became `shorter_side` pixels, or more where the middle needs more."""
        width, height = image.size
        least_width, least_height = max(self.width, self.shorter_side), max(self.height, self.shorter_side)
        by_width = max(1, least_width * height // width)
        fits = by_width >= least_height
        size = (least_width, by_width) if fits else (max(1, least_height * width // height), least_height)
        left, top = round((size[0] - self.width) / 2), round((size[1] - self.height) / 2)
        return image.resize(size, Image.Resampling.BILINEAR).crop((left, top, left + self.width, top + self.height))

    def _in_the_middle_of_black(self, image):
        """As large as fits without another shape."""
        width, height = image.size
        by_width = max(1, self.width * height // width)
        fits = by_width <= self.height
        size = (self.width, by_width) if fits else (max(1, self.height * width // height), self.height)
        ground = Image.new(image.mode, (self.width, self.height))
        place = ((self.width - size[0]) // 2, (self.height - size[1]) // 2)
        ground.paste(image.resize(size, Image.Resampling.BILINEAR), place)
        return ground
