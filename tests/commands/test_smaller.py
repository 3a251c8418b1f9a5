"""The table of what pruning has made of a network, and the files beside it."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from lth_ray import Data, Model, Prune, Study, Train, load_small, smaller_networks, steps
from lth_ray.analysis.latency import Latency, latencies
from lth_ray.config import ConfigError
from lth_ray.lottery import make_plan
from lth_ray.running.results import Results
from lth_ray.store import Store
from tests.commands.conftest import Own
from tests.running.conftest import train_here


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    store = Store.open(str(tmp_path_factory.mktemp("smaller")))
    study = Study(
        "smaller", model=Model(Own), data=Data("digits", batch_size=60, validation=200),
        train=Train(steps(6), lr=0.1, momentum=0.9), rewind=[steps(0)], seeds=[0], keep="tickets",
        prune=Prune("l1", structure="channels", fraction=0.5, rounds=1),
        arms={"structured": {}, "single": {"prune": Prune(fraction=0.5, rounds=1)}},
    )  # fmt: skip
    return Results(train_here(study, store), store)


def test_the_table_and_the_files(results: Results, tmp_path: Path) -> None:
    table = smaller_networks(results, tmp_path / "made", batch_sizes=(1, 3), rounds=3)
    assert list(table["lineage"]) == ["structured/k0/seed0"] * 2 + ["single/k0/seed0"] * 2
    assert list(table["round"]) == [0, 1, 0, 1]
    tickets = results.tickets().set_index(["lineage", "round"])
    for _, row in table.iterrows():
        assert row["test_accuracy"] == tickets.loc[(row["lineage"], row["round"]), "test_accuracy"]
    conv, norm, output = 4 * 9 + 4, 8, 4 * 36 * 10 + 10
    dense = conv + norm + output
    assert list(table["parameters"]) == [dense, (conv + norm + output - 10) // 2 + 10, dense, dense - (36 + 1440) // 2]
    flops = 2 * (36 * 36 + 1440)
    assert list(table["forward_flops"][:3]) == [flops, flops // 2, flops]
    assert (
        table["forward_flops"].iloc[3] == Store.open(results.store.uri).segment(tickets.iloc[3]["key"])["forward_flops"]
    )
    sizes = [Path(file).stat().st_size for file in table["file"]]
    assert sizes[1] < 0.7 * sizes[0] and sizes[3] == pytest.approx(sizes[2], abs=300)  # noqa: PT018
    small = load_small(table["file"].iloc[1], Own(10, (1, 8, 8)))
    assert sum(p.numel() for p in small.parameters()) == table["parameters"].iloc[1]
    for size in (1, 3):
        assert (table[f"ms_{size}"] > 0).all()
        assert list(table[f"times_as_fast_{size}"].iloc[[0, 2]]) == [1.0, 1.0]
    assert isinstance(table, pd.DataFrame)


def test_the_last_ticket_of_a_lineage_that_ended_before_its_last_round(results: Results, tmp_path: Path) -> None:
    study = results.plan.study
    longer = replace(study, arms={}, prune=Prune("l1", structure="channels", fraction=0.5, rounds=3))
    table = smaller_networks(Results(make_plan(longer), results.store), tmp_path / "made", batch_sizes=(1,), rounds=2)
    assert list(table["round"]) == [0, 1]
    later = replace(longer, seeds=[0, 1])
    table = smaller_networks(Results(make_plan(later), results.store), tmp_path / "made", batch_sizes=(1,), rounds=2)
    assert set(table["lineage"]) == {"k0/seed0"}


@pytest.mark.parametrize("given", [{"batch_sizes": (0,)}, {"batch_sizes": ()}, {"rounds": 1}])
def test_what_cannot_be_timed_is_refused(results: Results, tmp_path: Path, given: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=rf"smaller_networks\(..., {next(iter(given))}="):
        smaller_networks(results, tmp_path / "made", **given)  # type: ignore[arg-type]
    assert not (tmp_path / "made").exists()


def test_networks_take_turns_from_another_one_on_each_round() -> None:
    seen: list[str] = []

    class Noting(torch.nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            seen.append(self.name)
            assert not self.training
            return inputs

    found = latencies({name: Noting(name) for name in "ab"}, torch.zeros(1), rounds=3)
    assert "".join(seen) == "aaabbb" + "ab" + "ba" + "ab"
    assert [len(one.seconds) for one in found.values()] == [3, 3]
    fast, slow = Latency((1.0, 2.0, 4.0)), Latency((2.0, 6.0, 8.0))
    assert (fast.speed_up_over(slow), slow.ms, slow.quartiles_ms) == (2.0, 6000.0, (2000.0, 8000.0))
