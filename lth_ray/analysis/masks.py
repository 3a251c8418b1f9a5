"""The overlap of two masks, beside what chance would give them."""

from typing import Any

import numpy as np
import pandas as pd

from lth_ray.analysis.states import OVERALL, Tensors, require_same


def overlap(mask_a: Tensors, mask_b: Tensors) -> pd.DataFrame:
    """Return the overlap of two masks, {parameter: bool}, of one network: a row for each layer and one, "*",
    over all.

    Columns: layer; weights; kept_a, kept_b, kept_both (numbers of weights); jaccard (kept in both / in either);
    shared (kept in both / in a); jaccard_by_chance and shared_by_chance, of uniformly random masks with the same
    numbers kept in each layer. Of these, kept in both is hypergeometric, of mean kept_a x kept_b / weights: shared's
    is its expectation; jaccard's the ratio of expectations. A share of no weight is NaN.
    Errors: ConfigError that names the first parameter in which the masks differ.
    """
    require_same(mask_a, mask_b, ("mask_a", "mask_b"))
    counts = {}
    for name, keeps in mask_a.items():
        a, b = keeps.bool(), mask_b[name].to(keeps.device).bool()
        n, kept_a, kept_b = a.numel(), int(a.count_nonzero()), int(b.count_nonzero())
        counts[name] = np.array([n, kept_a, kept_b, int((a & b).count_nonzero()), kept_a * kept_b / max(1, n)])
    counts[OVERALL] = np.sum([*counts.values()], axis=0) if counts else np.zeros(5)
    return pd.DataFrame([{"layer": name, **_shares(*row.tolist())} for name, row in counts.items()])


def _shares(n: float, kept_a: float, kept_b: float, both: float, expected: float) -> dict[str, Any]:
    """Return the shares of one row.

    expected: the number kept in both by chance.
    """
    either, either_by_chance = kept_a + kept_b - both, kept_a + kept_b - expected
    return {
        "weights": int(n),
        "kept_a": int(kept_a),
        "kept_b": int(kept_b),
        "kept_both": int(both),
        "jaccard": _share(both, either),
        "shared": _share(both, kept_a),
        "jaccard_by_chance": _share(expected, either_by_chance),
        "shared_by_chance": _share(expected, kept_a),
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
