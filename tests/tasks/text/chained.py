"""A text whose words follow each other by a rule."""

import numpy as np

WORDS = [f"w{i}" for i in range(30)]


def chain(n: int, seed: int) -> str:
    """Lines in which a word says much about the next."""
    drawn, now, lines = np.random.default_rng(seed), 0, []
    for _ in range(n):
        words = []
        for _ in range(12):
            now = (now * 3 + int(drawn.integers(4))) % len(WORDS)
            words.append(WORDS[now])
        lines.append(" ".join(words))
    return "\n".join(lines) + "\n"
