#!/usr/bin/env python3
"""Draws the probes a second time, from the text at the head of copies/src/probes.rs alone.

Prints the digests that copies/tests/probes.rs holds. Standard library only.
"""

import hashlib
import struct


def keystream(key):
    """ChaCha20 (RFC 8439) with a nonce of zeros, block counter from 0, as 32-bit words."""
    constants = struct.unpack("<4I", b"expand 32-byte k")
    words = struct.unpack("<8I", key)

    def rotate(value, bits):
        return (value << bits | value >> (32 - bits)) & 0xFFFFFFFF

    def quarter(x, a, b, c, d):
        for first, second, third, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[first] = (x[first] + x[second]) & 0xFFFFFFFF
            x[third] = rotate(x[third] ^ x[first], bits)

    counter = 0
    while True:
        state = [*constants, *words, counter & 0xFFFFFFFF, counter >> 32, 0, 0]
        x = list(state)
        for _ in range(10):
            for column in range(4):
                quarter(x, column, 4 + column, 8 + column, 12 + column)
            for diagonal in range(4):
                quarter(
                    x, diagonal, 4 + (diagonal + 1) % 4, 8 + (diagonal + 2) % 4, 12 + (diagonal + 3) % 4
                )
        yield from ((a + b) & 0xFFFFFFFF for a, b in zip(x, state))
        counter += 1


class Drawing:
    def __init__(self, seed):
        self.words = keystream(seed)

    def below(self, bound):
        return next(self.words) * bound >> 32

    def picture(self, pattern, h, w):
        return [self.noise, self.grating, self.blobs, self.mixture][pattern](h, w)

    def noise(self, h, w):
        side = 1 + self.below(7)
        columns = -(-w // side)
        grid = [self.below(256) for _ in range(-(-h // side) * columns)]
        return [grid[y // side * columns + x // side] for y in range(h) for x in range(w)]

    def grating(self, h, w):
        dx, dy, phase, a, b = (self.below(n) for n in (65, 65, 128, 256, 256))
        pixels = []
        for y in range(h):
            for x in range(w):
                t = (x * dx + y * dy + phase) % 128
                s = t if t < 64 else 128 - t
                pixels.append((a * (64 - s) + b * s) // 64)
        return pixels

    def blobs(self, h, w):
        pixels = [self.below(128)] * (h * w)
        for _ in range(2 + self.below(7)):
            cy, cx = self.below(h), self.below(w)
            r = 1 + self.below(max(1, min(h, w) // 3))
            value = self.below(256)
            for y in range(h):
                for x in range(w):
                    if (y - cy) ** 2 + (x - cx) ** 2 <= r * r:
                        pixels[y * w + x] = value
        return pixels

    def mixture(self, h, w):
        first = self.picture(self.below(3), h, w)
        second = self.picture(self.below(3), h, w)
        u = self.below(257)
        return [(p * u + q * (256 - u)) // 256 for p, q in zip(first, second)]


def digest(seed, channels, h, w, count):
    drawing = Drawing(seed)
    pixels = bytearray()
    for probe in range(count):
        for _ in range(channels):
            pixels.extend(drawing.picture(probe % 4, h, w))
    return hashlib.sha256(pixels).hexdigest()


if __name__ == "__main__":
    print("GREY_DIGEST", digest(bytes([7] * 32), 1, 28, 28, 64))
    print("COLOUR_DIGEST", digest(bytes(32), 3, 9, 14, 16))
