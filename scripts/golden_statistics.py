"""Writes protocol/tests/golden/statistics.json: figures that the Rust tests must meet within 1e-12.

    pip install scipy statsmodels
    python scripts/golden_statistics.py > protocol/tests/golden/statistics.json

Everything is computed here in a second way: McNemar in exact integers (checked against scipy and statsmodels), Tango's
interval in 60-digit decimals (checked against scipy's root finder), resampling from a ChaCha8 written out below.
"""

import hashlib
import json
import math
import struct
from decimal import Decimal, getcontext

from scipy.optimize import brentq
from scipy.stats import binom, norm
from statsmodels.stats.contingency_tables import mcnemar

getcontext().prec = 60
Z_95 = Decimal("1.959963984540054")


def mid_p(b, c):
    """sum_{j > b} C(m, j) 2^-m + C(m, b) 2^-m / 2, in whole numbers until the last division."""
    m = b + c
    term = math.comb(m, b)
    doubled = term
    for j in range(b, m):
        term = term * (m - j) // (j + 1)
        doubled += 2 * term
        if j > b + 60 and term.bit_length() < doubled.bit_length() - 120:
            break
    p = doubled / (1 << (m + 1))
    assert math.isclose(p, binom.sf(b, m, 0.5) + binom.pmf(b, m, 0.5) / 2, rel_tol=1e-8), (b, c)
    if b > c:
        two_sided = mcnemar([[0, b], [c, 0]], exact=True).pvalue
        assert math.isclose(two_sided, 2 * binom.sf(b - 1, m, 0.5), rel_tol=1e-8), (b, c)
    return {"b": b, "c": c, "p": p}


def tango(n, b, c):
    """Where the score statistic of Tango (1998) is +z and -z."""

    def statistic(d, number=Decimal, root=Decimal.sqrt):
        one_n, one_b, one_c = number(n), number(b), number(c)
        qa, qb = 2 * one_n, -one_b - one_c + (2 * one_n - one_b + one_c) * d
        q = (root(max(qb * qb + 4 * qa * one_c * d * (1 - d), number(0))) - qb) / (2 * qa)
        variance = one_n * (2 * q + d * (1 - d))
        excess = one_b - one_c - one_n * d
        return excess / root(variance) if variance > 0 else excess * number("inf")

    def end(low, high, target):
        for _ in range(180):
            middle = (low + high) / 2
            low, high = (middle, high) if statistic(middle) > target else (low, middle)
        return low

    estimate = Decimal(b - c) / n
    low, high = end(Decimal(-1), estimate, Z_95), end(estimate, Decimal(1), -Z_95)
    for value, target in ((low, norm.ppf(0.975)), (high, norm.ppf(0.025))):
        near = brentq(lambda d: statistic(d, float, math.sqrt) - target, float(value) - 1e-4, float(value) + 1e-4, xtol=1e-15)
        assert abs(near - float(value)) < 1e-10, (n, b, c)
    return {"items": n, "b": b, "c": c, "low": float(low), "high": float(high)}


def keystream(key, nonce, rounds=8):
    """ChaCha with a 64-bit counter from 0 and a 64-bit nonce, as little-endian words."""
    constants = struct.unpack("<4I", b"expand 32-byte k")
    counter = 0
    while True:
        state = [*constants, *struct.unpack("<8I", key), *struct.unpack("<4I", struct.pack("<QQ", counter, nonce))]
        work = list(state)

        def quarter(a, b, c, d):
            for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                work[x] = (work[x] + work[y]) & 0xFFFFFFFF
                work[z] ^= work[x]
                work[z] = (work[z] << turn | work[z] >> (32 - turn)) & 0xFFFFFFFF

        for _ in range(rounds // 2):
            for column in range(4):
                quarter(column, 4 + column, 8 + column, 12 + column)
            for diagonal in range(4):
                quarter(diagonal, 4 + (diagonal + 1) % 4, 8 + (diagonal + 2) % 4, 12 + (diagonal + 3) % 4)
        yield from ((x + y) & 0xFFFFFFFF for x, y in zip(work, state))
        counter += 1


def draws(key, nonce, bound):
    words, drawn = keystream(key, nonce), []
    while len(drawn) < bound:
        product = next(words) * bound
        if product % 2**32 >= 2**32 % bound:
            drawn.append(product >> 32)
    return drawn


def median(values):
    values, half = sorted(values), len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) // 2


def composite_ppb(correct, items, js_sum, log_ratio_nanos, size_bytes, teacher_ppm):
    """S of MEASURING.md 2b under the rules of protocol/tests/significance.rs."""
    accuracy_ppm = (correct * 1_000_000 + items // 2) // items
    if accuracy_ppm * 1_000_000 < teacher_ppm * 900_000:
        return 0
    clip = lambda value: min(max(value, 0.0), 1.0)
    return round(1e9 * (
        0.40 * clip((accuracy_ppm - 800_000) / (teacher_ppm - 800_000))
        + 0.20 * clip(1 - js_sum / items / 1e6 / math.log(2))
        + 0.25 * clip(math.log(10 / math.exp(log_ratio_nanos / 1e9)) / math.log(1000))
        + 0.15 * clip(math.log(4_000_000 / size_bytes) / math.log(400))
    ))


def resampled(seed, part, items, teacher_ppm, replicates):
    """Differences of two made-up models on resampled items and launches; the Rust test makes the same models."""
    models = [
        {"right": [(i * 7 + shift) % 13 != 0 for i in range(items)],
         "js": [(i * 7919 + 31 * shift) % 90_000 for i in range(items)],
         "launches": [1_000_000 * ((i * 5 + shift) % 11) - 700_000_000 - 3_000_000 * shift for i in range(15)]}
        for shift in (3, 1)
    ]

    def key(what, more=b""):
        return hashlib.sha256(b"retort-resample/1 " + what + seed + bytes([part]) + more).digest()

    def value(model, chosen, launches):
        correct, js = sum(model["right"][i] for i in chosen), sum(model["js"][i] for i in chosen)
        return composite_ppb(correct, items, js, median([model["launches"][i] for i in launches]), 100_000, teacher_ppm)

    differences = []
    for r in range(replicates):
        chosen = draws(key(b"items"), r, items)
        first, second = (
            value(m, chosen, draws(key(b"launches", struct.pack("<15q", *m["launches"])), r, 15)) for m in models
        )
        differences.append(first - second)
    measured = value(models[0], range(items), range(15)) - value(models[1], range(items), range(15))
    hits = next((r + 1 for r in range(replicates) if sum(d <= 2_000_000 for d in differences[: r + 1]) == 32), None)
    ordered = sorted(differences)
    return {"measured_ppb": measured, "p_draws_at_32_hits": hits, "low_ppb": ordered[49], "high_ppb": ordered[1949]}


def main():
    pairs = [(0, 0), (1, 0), (0, 1), (5, 5), (10, 3), (3, 10), (15, 2), (40, 20), (435, 435), (500, 370), (120, 60),
             (60, 120), (100, 0), (9, 16), (700, 600), (5_200, 4_800), (501_000, 499_000), (499_700, 500_300)]
    tables = [(100, 12, 5), (44, 5, 3), (50, 0, 0), (2_000, 100, 74), (2_000, 74, 100), (10_000, 485, 385),
              (10_000, 435, 435), (10_000, 3, 0), (10_000, 0, 40), (300, 20, 2), (1_000_000, 44_000, 43_000)]
    print(json.dumps({
        "mid_p": [mid_p(b, c) for b, c in pairs],
        "tango": [tango(n, b, c) for n, b, c in tables],
        "resample": resampled(hashlib.sha256(b"round 7").digest(), 1, 130, 950_000, 1_999),
    }, indent=1))


if __name__ == "__main__":
    main()
