"""A study of a table of numbers, by Ray, alone and with workers, from a relative path."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.studies.plans import start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

TABLE = """
from lth_ray import Model, Prune, RandomReinit, Study, Table, Train, main, steps

study = Study(
    "sums",
    model=Model("lenet_20_10"),
    data=Table("csv:sums.csv", batch_size=32, validation=60, test=100),
    train=Train(steps(200), optimizer="adam", lr=5e-3, evaluate_every=steps(100)),
    prune=Prune(scope="layer", fraction=0.3, rounds=1),
    rewind=[steps(0)],
    seeds=[0],
    branches=[RandomReinit()],
)

if __name__ == "__main__":
    main(study)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to work in: a script, and a table in which y is a sum with a little noise."""
    draw = np.random.default_rng(0)
    features = draw.normal(size=(600, 5))
    table = pd.DataFrame(features, columns=list("abcde"))
    table["y"] = features @ np.arange(1.0, 6.0) + 0.1 * draw.normal(size=600)
    table.to_csv(tmp_path / "sums.csv", index=False)
    (tmp_path / "sums.py").write_text(TABLE)
    return tmp_path


def test_two_workers_learn_what_one_process_learns(folder: Path) -> None:
    """To rounding: a dense network, its ticket and its control."""
    found = {}
    for workers in (0, 2):
        flags = ("--storage", f"storage-{workers}", f"--workers={workers}", "--set=train.batch_norm_group=16")
        ended = start(folder / "sums.py", folder, *flags, "--name", "sums")
        assert ended.returncode == 0, ended.stderr[-3000:]
        results = folder / f"storage-{workers}" / "studies" / "sums"
        tickets, branches = (pd.read_parquet(results / f"{kind}.parquet") for kind in ("tickets", "branches"))
        assert list(tickets["round"]) == [0, 1]
        assert list(branches["branch"]) == ["random_reinit"]
        found[workers] = [*tickets["test_r2"], *branches["test_r2"]]
    assert min(found[0][:2]) > 0.9
    assert found[2] == pytest.approx(found[0], abs=1e-6)
