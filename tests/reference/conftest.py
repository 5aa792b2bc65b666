"""Slow scalar models, written from the definitions in Python integers and fractions, for the fast ones to equal."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pytest

PRIMES = (1, 2654435761, 805459861, 3674653429)
LARGEST_DENSE = {2: 65535, 3: 1625, 4: 255}
FP16 = (11, -14, 65504.0)
FP32 = (24, -126, float(np.finfo(np.float32).max))


class SlowModels:
    """Scalar definitions of every arithmetic; numbers in and out are Python floats unless said otherwise."""

    @staticmethod
    def round(value: Fraction, form: tuple[int, int, float]) -> float:
        """Nearest number of a binary format, ties to even, overflow to infinity."""
        bits, smallest, largest = form
        if value == 0:
            return 0.0
        exponent = math.floor(math.log2(abs(value.numerator)) - math.log2(value.denominator))
        while Fraction(2) ** exponent > abs(value):
            exponent -= 1
        while Fraction(2) ** (exponent + 1) <= abs(value):
            exponent += 1
        ulp = Fraction(2) ** (max(exponent, smallest) - bits + 1)
        rounded = round(value / ulp) * ulp
        return math.copysign(math.inf, value) if abs(rounded) > largest else float(rounded)

    @classmethod
    def fma(cls, a: float, b: float, c: float, form: tuple[int, int, float]) -> float:
        """``a * b + c`` of finite numbers with one rounding."""
        return cls.round(Fraction(a) * Fraction(b) + Fraction(c), form)

    @classmethod
    def cell(cls, x: float, scale: float) -> tuple[int, float]:
        """uint32 cell and fp32 fraction of a coordinate."""
        scaled = cls.fma(float(np.float32(scale)), float(np.float32(x)), 0.5, FP32)
        floor = math.floor(scaled)
        return max(-(2**31), min(2**31 - 1, floor)) % 2**32, scaled - floor

    @staticmethod
    def row(cell: Sequence[int], resolution: int, entries: int, grid_type: str) -> int:
        """Table row of a vertex."""
        dims = len(cell)
        dense = resolution <= LARGEST_DENSE[dims]
        if grid_type == "Hash" and entries < (resolution**dims if dense else 2**32 - 1):
            index = 0
            for coordinate, prime in zip(cell, PRIMES, strict=False):
                index ^= coordinate * prime % 2**32
        else:
            index = sum(g * resolution**dim for dim, g in enumerate(cell)) if dense else 0
        return index % 2**32 % entries

    @classmethod
    def encode_fp(cls, config, tables, point, scales, form) -> list[float]:
        """The library's encoding of one point, with fp16 or fp32 parameters."""
        outputs = []
        for level, scale in zip(config.levels, scales, strict=True):
            resolution = math.ceil(float(scale)) + 1
            cells, fractions = zip(*[cls.cell(x, scale) for x in point], strict=True)
            if config.interpolation == "Smoothstep":
                one = [np.float32(t) * np.float32(t) for t in fractions]
                two = [np.float32(3) - np.float32(2) * np.float32(t) for t in fractions]
                fractions = [float(a * b) for a, b in zip(one, two, strict=True)]
            totals = [0.0] * config.n_features_per_level
            corners = 1 if config.interpolation == "Nearest" else 1 << len(cells)
            for corner in range(corners):
                far = [(corner >> dim) & 1 for dim in range(len(cells))]
                weight = np.float32(1)
                if config.interpolation != "Nearest":
                    for step, t in zip(far, fractions, strict=True):
                        weight = weight * (np.float32(t) if step else np.float32(1) - np.float32(t))
                vertex = [(g + step) % 2**32 for g, step in zip(cells, far, strict=True)]
                row = level.offset + cls.row(vertex, resolution, level.entries, config.grid_type)
                weight = cls.round(Fraction(float(weight)), form)
                totals = [cls.fma(weight, float(v), t, form) for v, t in zip(tables[row], totals, strict=True)]
            outputs += totals
        return outputs

    @classmethod
    def encode_integer(cls, config, tables, level_shifts, raw_point, value_bits) -> list[int]:
        """docs/numerics.md, "Grid encoding", of one point in Python integers."""
        outputs = []
        for level, level_shift in zip(config.levels, level_shifts, strict=True):
            s_raw = round(Fraction(float(level.scale)) * 1024)
            p = [x_raw * s_raw + 2**32 for x_raw in raw_point]
            cells = [value >> 33 for value in p]
            t = [(value >> 25) & 255 for value in p]
            if config.interpolation == "Nearest":
                t = [0] * len(t)
            elif config.interpolation == "Smoothstep":
                t = [min(255, round(Fraction(f * f * (768 - 2 * f), 2**16))) for f in t]
            for feature in range(config.n_features_per_level):
                total = 0
                for corner in range(1 << len(cells)):
                    far = [(corner >> dim) & 1 for dim in range(len(cells))]
                    weight = math.prod(f if step else 256 - f for step, f in zip(far, t, strict=True))
                    vertex = [g + step for g, step in zip(cells, far, strict=True)]
                    row = level.offset + cls.row(vertex, level.resolution, level.entries, config.grid_type)
                    total += weight * int(tables[row][feature])
                rounded = round(Fraction(total, 2 ** (8 * len(cells) + level_shift)))
                outputs.append(max(-(2 ** (value_bits - 1)), min(2 ** (value_bits - 1) - 1, rounded)))
        return outputs

    @classmethod
    def dot(cls, x: Sequence[float], w: Sequence[float], chunk: int) -> float:
        """One output of the tensor core, fp16 accumulator, finite or overflowing numbers."""
        accumulator = 0.0
        for start in range(0, len(x), chunk):
            pairs = list(zip(x[start : start + chunk], w[start : start + chunk], strict=True))
            if not all(math.isfinite(v) for v in (accumulator, *(v for pair in pairs for v in pair))):
                accumulator = float(np.float16(sum((a * b for a, b in pairs), accumulator)))
                continue
            terms = [(Fraction(a) * Fraction(b), cls.exponent(a) + cls.exponent(b)) for a, b in pairs]
            terms.append((Fraction(accumulator), cls.exponent(accumulator)))
            exponents = [exponent for term, exponent in terms if term]
            unit = Fraction(2) ** (max(exponents, default=0) - 25)
            accumulator = cls.round(sum(math.trunc(term / unit) for term, _ in terms) * unit, FP16)
        return accumulator

    @staticmethod
    def exponent(value: float) -> int:
        """Exponent of an fp16 number; subnormals have that of the smallest normal."""
        return max(math.frexp(value)[1] - 1, -14) if value else -14

    @classmethod
    def network(
        cls, weights: Sequence[np.ndarray], x: Sequence[float], activations: Sequence[Callable], chunks: Sequence[int]
    ) -> list[float]:
        """A network of one point; one activation (float to float) and one chunk width a layer."""
        for matrix, activation, chunk in zip(weights, activations, chunks, strict=True):
            x = [activation(cls.dot(x, [float(w) for w in row], chunk)) for row in matrix]
        return x


def relu(x: float) -> float:
    """ReLU of the GPU: NaN gives 0."""
    return x if x > 0 else 0.0


def leaky_relu(x: float) -> float:
    """LeakyReLU with the slope and the product in fp16."""
    return x if x > 0 else float(np.float16(x) * np.float16(0.01))


SlowModels.relu, SlowModels.leaky_relu, SlowModels.identity = map(staticmethod, (relu, leaky_relu, lambda x: x))


@pytest.fixture(scope="session")
def slow() -> type[SlowModels]:
    """The slow models."""
    return SlowModels
