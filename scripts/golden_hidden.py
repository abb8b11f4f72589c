"""A second implementation of hidden rounds, for auditors: prints the golden values of datasets/tests/hidden/golden.rs.

    python scripts/golden_hidden.py

Needs nothing beyond Python. It follows the heads of datasets/src/hidden/{secret,draw,render,commitment}.rs.
"""

import hashlib
import json
import math
import struct

M = 1_000_000


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def words(key):
    """ChaCha20's keystream with a zero nonce, in 32-bit words."""
    rotate = lambda x, n: (x << n | x >> 32 - n) & 0xFFFFFFFF
    for counter in range(2**32):
        init = list(struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<Q", counter) + bytes(8)))
        s = init[:]
        for half in range(20):
            for i in range(4):
                a, b, c, d = (i, *(4 * r + (i + (r if half % 2 else 0)) % 4 for r in (1, 2, 3)))
                for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                    s[x] = (s[x] + s[y]) & 0xFFFFFFFF
                    s[z] = rotate(s[z] ^ s[x], n)
        yield from ((a + b) & 0xFFFFFFFF for a, b in zip(s, init))


def below(stream, bound):
    return next(w for w in stream if w < 2**32 - 2**32 % bound) % bound


def permutation(key, n):
    stream, items = words(key), list(range(n))
    for i in range(n - 1, 0, -1):
        j = below(stream, i + 1)
        items[i], items[j] = items[j], items[i]
    return items


def changes(seed, sources, pool, f, private):
    stream = words(sha(b"retort/hidden-changes/1", seed))
    between = lambda a, b: a + below(stream, b - a + 1)
    partners = sources if private else range(pool)
    for source in sources:
        other = share = None
        if below(stream, M) < f["mixture_ppm"] and len(partners) > 1:
            p = below(stream, len(partners) - 1)
            other, share = partners[p + (p >= partners.index(source))], between(f["mixture_share_ppm_min"], f["mixture_share_ppm_max"])
        s = f["shift_px_max"]
        n = 2 * s + 1
        k = below(stream, max(n * n - 1, 1))
        k += s > 0 and k >= (n * n - 1) // 2
        r = f["rotation_millidegrees_max"]
        yield dict(
            source=source, other=other, share=share, dx=k % n - s, dy=k // n - s, rotation=below(stream, 2 * r + 1) - r,
            scale=between(f["scale_ppm_min"], f["scale_ppm_max"]),
            brightness=between(f["brightness_ppm_min"], f["brightness_ppm_max"]),
            noise=between(0, f["noise_levels_max"]), noise_seed=next(stream) + (next(stream) << 32),
            side=between(0, f["cutout_px_max"]), x=below(stream, M), y=below(stream, M),
        )


def draw(seed, fixed_seed, pool, spec, spent=frozenset()):
    private = spec.get("hidden_pool") == "private"
    fixed = spec["items"] * spec["fixed_ppm"] // M
    order = lambda s: permutation(sha(b"retort/hidden-sources/1", s), pool)
    first = order(fixed_seed)[:fixed]
    fresh = [i for i in order(seed) if i not in {*first, *(spent if private else ())}][: spec["items"] - fixed]
    of = lambda seed, sources: changes(seed, sources, pool, spec["family"], private)
    return [*of(fixed_seed, first), *of(seed, fresh)]


def render(pool, c, height, width):
    """One grey image, as a list of rows flattened."""
    a = pool[c["source"]]
    if c["other"] is not None:
        a = [(x * c["share"] + y * (M - c["share"]) + M // 2) // M for x, y in zip(a, pool[c["other"]])]
    nearest = lambda v: int(math.copysign(math.floor(abs(v) * 65536 + 0.5), v))
    angle = c["rotation"] * (math.pi / 180_000)
    p, q = nearest(math.cos(angle)) * M // c["scale"], nearest(math.sin(angle)) * M // c["scale"]
    at = lambda y, x: a[y * width + x] if 0 <= y < height and 0 <= x < width else 0
    noise = words(struct.pack("<Q", c["noise_seed"]) + bytes(24))
    left, top = width * c["x"] // M - c["side"] // 2, height * c["y"] // M - c["side"] // 2
    out = []
    for y in range(height):
        for x in range(width):
            u, v = 2 * x - (width - 1) - 2 * c["dx"], 2 * y - (height - 1) - 2 * c["dy"]
            across = (p * u + q * v >> 1) + (width - 1) * 32768
            down = (p * v - q * u >> 1) + (height - 1) * 32768
            i, j, f, g = across >> 16, down >> 16, across >> 8 & 255, down >> 8 & 255
            upper = at(j, i) * (256 - f) + at(j, i + 1) * f
            lower = at(j + 1, i) * (256 - f) + at(j + 1, i + 1) * f
            value = (upper * (256 - g) + lower * g + 32768) >> 16
            value = min((value * c["brightness"] + M // 2) // M, 255)
            if c["noise"]:
                value += ((sum(struct.pack("<I", next(noise))) - 510) * c["noise"] + 74) // 148
            inside = left <= x < left + c["side"] and top <= y < top + c["side"]
            out.append(0 if inside else min(max(value, 0), 255))
    return bytes(out)


def root(leaves):
    if len(leaves) == 1:
        return sha(b"\0", leaves[0])
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha(b"\1", root(leaves[:k]), root(leaves[k:]))


def main():
    family = dict(
        shift_px_max=2, rotation_millidegrees_max=8000, scale_ppm_min=900000, scale_ppm_max=1050000,
        brightness_ppm_min=800000, brightness_ppm_max=1200000, noise_levels_max=8, cutout_px_max=5, mixture_ppm=250000,
        mixture_share_ppm_min=600000, mixture_share_ppm_max=800000,
    )
    spec = dict(items=40, fixed_ppm=300000, family=family)
    competition, round_, beacon, secret = "clothes", 7, bytes(range(32)), bytes(range(32, 64))
    derive = lambda name: sha(name, beacon, secret, struct.pack("<Q", round_), competition.encode())
    seed, fixed = derive(b"retort/hidden-seed/1"), derive(b"retort/hidden-fixed/1")
    print("seed", seed.hex())
    print("fixed seed", fixed.hex())
    drawn = draw(seed, fixed, 100, spec)
    print("sources", [c["source"] for c in drawn])
    print("item 0", drawn[0])
    print("first mixture", next((i, c) for i, c in enumerate(drawn) if c["other"] is not None))
    private = spec | dict(hidden_pool="private")
    spent = {c["source"] for c in draw(seed, fixed, 100, private)}
    later = draw(sha(seed), fixed, 100, private, spent)
    print("private sources", [c["source"] for c in later])
    print("private partners", [c["other"] for c in later if c["other"] is not None])
    height, width = 13, 17
    pool = [[(index * 31 + place * place * 7 + place * 13) % 256 for place in range(height * width)] for index in range(100)]
    print("pixels", sha(*(render(pool, c, height, width) for c in drawn)).hex())
    canonical = lambda value: json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    rule = dict(kind="ledger", height=123)
    contents = [
        competition.encode(), struct.pack("<Q", round_), b"ab" * 32 + struct.pack("<I", 100), canonical(spec), canonical(rule),
        sha(secret),
    ]
    salt = lambda i: sha(b"retort/hidden-salt/1", secret, struct.pack("<I", i))
    print("commitment", root([salt(i) + content for i, content in enumerate(contents)]).hex())


if __name__ == "__main__":
    main()
