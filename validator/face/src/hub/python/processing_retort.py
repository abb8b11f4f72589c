"""Pictures for the network, for transformers: pipeline("image-classification", .., trust_remote_code=True).

Written by the validator. The network scales pixels itself, so they stay from 0 to 255; pictures of another
size are resized, with black beside those of other proportions.
"""

import numpy
from PIL import Image
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature
from transformers.image_utils import load_image


class RetortImageProcessor(BaseImageProcessor):
    model_input_names = ["pixel_values"]

    def __init__(self, channels=1, height=28, width=28, **others):
        super().__init__(**others)
        self.channels, self.height, self.width = channels, height, width

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
            image = self._in_the_middle_of_black(image)
        pixels = numpy.asarray(image, dtype=numpy.float32)
        return pixels[None] if self.channels == 1 else pixels.transpose(2, 0, 1)

    def _in_the_middle_of_black(self, image):
        """As large as fits without another shape: what `retort predict` does."""
        width, height = image.size
        by_width = max(1, self.width * height // width)
        fits = by_width <= self.height
        size = (self.width, by_width) if fits else (max(1, self.height * width // height), self.height)
        ground = Image.new(image.mode, (self.width, self.height))
        place = ((self.width - size[0]) // 2, (self.height - size[1]) // 2)
        ground.paste(image.resize(size, Image.Resampling.BILINEAR), place)
        return ground
