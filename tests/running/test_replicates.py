"""Lineages that are trained as one batch, in real processes: nothing but the backend says so afterwards."""

import pytest

from lth_ray.lottery import make_plan, make_trials
from lth_ray.running.history import recorded_plan
from lth_ray.running.results import Results
from lth_ray.store import Store
from tests.running.conftest import EVERY, Runner, contents, train_here

SEEDS, COPIES, REPLICATES = 3, 2, 4
SCRIPT = f'''
"""Does it matter who is trained beside whom?"""
from lth_ray import Data, Model, Prune, RandomReinit, Study, Train, main, steps

study = Study(
    "small",
    model=Model("lenet_20_10"),
    data=Data("digits", batch_size=60, validation=200),
    train=Train(steps(100), optimizer="adam", lr=1e-3, evaluate_every=steps({EVERY}), replicates={REPLICATES}),
    prune=Prune(scope="layer", fraction=0.3, rounds=2),
    rewind=[steps(0)],
    seeds=[*range({SEEDS})],
    branches=[RandomReinit(rounds=[1], copies={COPIES})],
)

if __name__ == "__main__":
    main(study)
'''
TOTAL = SEEDS * 100 * (3 + COPIES)


@pytest.fixture(scope="module")
def by_themselves(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The contents where every job is done by itself, in a batch of its own; trained in this process, without Ray."""
    namespace: dict[str, object] = {"__name__": "study"}
    exec(SCRIPT, namespace)
    store = Store.open(str(tmp_path_factory.mktemp("by themselves")))
    return contents(train_here(namespace["study"], store), store)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_study_in_replicates(runner: Runner, by_themselves: dict[str, str]) -> None:
    runner.source = SCRIPT
    assert runner.run() == 0, runner.output[-3000:]
    assert runner.contents() == by_themselves
    assert runner.steps.total() == TOTAL
    assert f"trained {TOTAL:,} steps" in runner.output
    store = Store.open(str(runner.storage))
    plan = recorded_plan(store, "small")
    results = Results(plan, store)
    tickets, branches = results.tickets(), results.branches()
    assert (len(tickets), len(branches)) == (3 * SEEDS, COPIES * SEEDS)
    assert {*tickets["backend"], *branches["backend"]} == {"replicated-fp32"}
    assert tickets["key"].is_unique
    whole = make_plan(plan.study)
    assert [len(trial) for trial in make_trials(whole.jobs)] == [3, 3, 4, 2]
    assert not plan.jobs


@pytest.mark.slow
@pytest.mark.parametrize("point", ["mid-step:700", "published:5"])
def test_a_killed_batch_goes_on_within_the_run(point: str, runner: Runner, by_themselves: dict[str, str]) -> None:
    runner.source = SCRIPT
    once = runner.folder / "killed"
    runner.env = {"LTH_RAY_KILL_AT": point, "LTH_RAY_KILL_ONCE": str(once)}
    assert runner.run() == 0, runner.output[-3000:]
    assert once.exists(), "nothing was killed"
    assert runner.contents() == by_themselves
    assert runner.trained_twice <= REPLICATES * EVERY
