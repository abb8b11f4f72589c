"""Writes datasets/tests/fixtures: small Parquet files and pictures as people have them, by the libraries that they have them from.

    $(scripts/python.sh data) scripts/data_fixtures.py

The pictures are handwritten digits of datasets/digits, 8 x 8; digits.bin says what each row is to be read as: 60 pictures, then 60 labels.
"""

import gzip
import io
import pathlib

import datasets
import numpy
import polars
import pyarrow
import pyarrow.parquet
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[1]
OUT = ROOT / "datasets" / "tests" / "fixtures"
ROWS = 60
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def digits():
    rows = numpy.loadtxt(gzip.open(ROOT / "datasets" / "digits" / "digits.csv.gz"), delimiter=",")[:ROWS]
    return (rows[:, :64].reshape(-1, 8, 8) * 255 / 16).astype(numpy.uint8), rows[:, 64].astype(int)


def encoded(picture):
    body = io.BytesIO()
    Image.fromarray(picture).save(body, format="PNG")
    return body.getvalue()


def main():
    OUT.mkdir(exist_ok=True)
    pictures, labels = digits()
    pngs = [encoded(picture) for picture in pictures]
    images = [Image.open(io.BytesIO(png)) for png in pngs]
    (OUT / "digits.bin").write_bytes(pictures.tobytes() + labels.astype(numpy.uint8).tobytes())

    # What `Dataset.to_parquet` and `push_to_hub` write: Image and ClassLabel, in two files of a part and one of another.
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=NAMES))
    whole = datasets.Dataset.from_dict(dict(image=images, label=labels.tolist()), features=features)
    hub = OUT / "hub" / "data"
    hub.mkdir(parents=True, exist_ok=True)
    whole.select(range(20)).to_parquet(hub / "train-00000-of-00002.parquet", batch_size=7)
    whole.select(range(20, 40)).to_parquet(hub / "train-00001-of-00002.parquet")
    whole.select(range(40, 60)).to_parquet(hub / "test-00000-of-00001.parquet")

    # Text labels, a second column of pictures, compressed otherwise, by polars.
    columns = dict(img=[dict(bytes=png, path=None) for png in pngs], kind=[NAMES[label] for label in labels])
    polars.DataFrame(columns).write_parquet(OUT / "text-labels.parquet", compression="zstd", row_group_size=25)

    # Bytes and numbers alone, and nothing said about them; a null picture, a kept label, an unnamed one.
    plain = pyarrow.table(dict(
        picture=pyarrow.array([None, *pngs[1:]], pyarrow.binary()),
        label=pyarrow.array([*labels[:2].tolist(), -1, None, *labels[4:].tolist()], pyarrow.int32()),
        note=pyarrow.array(["x"] * ROWS),
        weight=pyarrow.array([1] * ROWS),
    ))  # fmt: skip
    pyarrow.parquet.write_table(plain, OUT / "plain.parquet", compression="gzip", row_group_size=9, data_page_size=200)

    resizing()


def resizing():
    """A picture in three files, and what Pillow makes of it: all three ways to the size of a model, 32 x 24."""
    generator = numpy.random.default_rng(5)
    y, x = numpy.mgrid[:61, :97]
    waves = numpy.stack([128 + 100 * numpy.sin(x / 9 + k) * numpy.cos(y / (5 + k)) for k in range(3)], -1)
    picture = (waves + generator.integers(-20, 20, waves.shape)).clip(0, 255).astype(numpy.uint8)
    image = Image.fromarray(picture)
    image.save(OUT / "picture.png")
    image.save(OUT / "picture.jpg", quality=95)
    image.convert("RGBA").save(OUT / "picture.webp", lossless=True)
    resized = lambda size: image.resize(size, Image.Resampling.BILINEAR)

    def cropped(side):
        # torchvision: Resize(side) cuts the longer side to whole pixels, CenterCrop rounds half to even.
        large = resized((int(side * 97 / 61), side))
        left, top = (round((have - want) / 2.0) for have, want in zip(large.size, (32, 24)))
        return large.crop((left, top, left + 32, top + 24))

    ground = Image.new("RGB", (32, 24))
    ground.paste(resized((32, 20)), (0, 2))
    for name, result in dict(stretch=resized((32, 24)), crop=cropped(24), crop40=cropped(40), pad=ground).items():
        result.save(OUT / f"picture-{name}.png")


if __name__ == "__main__":
    main()
