"""Estimate by arithmetic what benchmarks cost with Qwen2-VL-7B on an H100; nothing is measured.

    python scripts/estimate_cost.py

An image is 256 visual tokens, a prompt has some 45 tokens of its own after it and 15 before. The
public loop runs each training example three times and computes logits at every position; `savs`
runs each prompt once, and what prompts about one image begin with once.
"""

from dataclasses import dataclass

TFLOPS = 0.56 * 989
"""Of an H100 in bfloat16: the share of its peak that large matrix products reach."""
TOWER, DECODER = 5.05e-3, 13.05e-3
"""TFLOP a visual token in the vision tower, and a token in the decoder."""
LOGITS = 2 * 3584 * 152_064 / 1e12
"""TFLOP a token in the output embedding."""
VISUAL, BEFORE, BEHIND = 256, 15, 45


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What counts of a benchmark."""

    name: str
    train: int
    test: int
    rows_an_image: float

    @property
    def rows(self) -> int:
        """Prompts of both splits."""
        return self.train + self.test

    def public(self) -> tuple[float, float]:
        """Return passes and TFLOP of the public loop."""
        passes = 3 * self.train + self.test
        tokens = VISUAL + BEFORE + BEHIND
        return passes, passes * (VISUAL * TOWER + tokens * (DECODER + LOGITS))

    def plain(self) -> tuple[float, float]:
        """Return passes and TFLOP where each prompt runs by itself."""
        tokens = VISUAL + BEFORE + BEHIND
        return self.rows, self.rows * (VISUAL * TOWER + tokens * DECODER)

    def shared(self) -> tuple[float, float]:
        """Return passes and TFLOP where prompts about an image run after it."""
        images = self.rows / self.rows_an_image
        once = VISUAL * TOWER + (VISUAL + BEFORE) * DECODER
        return images + self.rows, images * once + self.rows * BEHIND * DECODER


BENCHMARKS = (
    Benchmark("NaturalBench", 160, 7440, 2),
    Benchmark("NaturalBench-Retrieval", 40, 3800, 2.5),
    Benchmark("SugarCrepe", 40, 15_000, 9.6),
    Benchmark("EuroSAT", 200, 26_800, 1),
    Benchmark("own photos, ten questions each", 40, 10_000, 10),
)


def main() -> None:
    """Print a Markdown table."""
    print("| benchmark | public loop | each prompt once | each image once | times as fast |")
    print("| --- | --- | --- | --- | --- |")
    for benchmark in BENCHMARKS:
        public, plain, shared = benchmark.public(), benchmark.plain(), benchmark.shared()
        cells = [
            f"{passes:,.0f} passes, {tflop:,.0f} TFLOP, {tflop / TFLOPS / 60:.1f} min"
            for passes, tflop in (public, plain, shared if benchmark.rows_an_image > 1 else plain)
        ]
        best = min(plain[1], shared[1])
        print(f"| {benchmark.name} | {' | '.join(cells)} | {public[1] / best:.1f} |")


if __name__ == "__main__":
    main()
