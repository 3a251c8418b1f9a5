"""Studies of text are killed and taken up, an LSTM that carries its state and translation: contents are the same."""

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lth_ray.data.text import catalogue
from lth_ray.store import Store
from tests.running.conftest import EVERY, Runner, contents, train_here
from tests.tasks.text.chained import chain

pytestmark = pytest.mark.slow
REST = """
    prune=Prune(scope="global", fraction=0.4, rounds=2, include=["*"]),
    rewind=[steps(0), steps(20)],
    seeds=[0],
    margin=0.5,
    branches=[RandomMask(rounds=[2])],
)

if __name__ == "__main__":
    main(study)
"""
HEAD = "from lth_ray import Model, Prune, RandomMask, Study, Text, Train, Translation, main, steps\n\nstudy = Study(\n"
SCRIPTS = {
    "lstm": f"""{HEAD}    "small",
    model=Model("lstm_lm_2_24", options={{"dropout": 0.2}}),
    data=Text("text:FOLDER", batch_size=8, window=8),
    train=Train(steps(60), optimizer="adam", lr=5e-3, clip_norm=0.5, evaluate_every=steps({EVERY})),{REST}""",
    "translation": f"""{HEAD}    "small",
    model=Model("transformer_1_32", options={{"dropout": 0.1}}),
    data=Translation("text:FOLDER", vocabulary=300, tokens=120, batch_size=2, validation=2, beam=2, evaluation_pairs=2),
    train=Train(
        steps(60), optimizer="adam", lr=1e-3, label_smoothing=0.1, batch_norm_group=1, evaluate_every=steps({EVERY})
    ),{REST}""",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("texts")
    for seed, (part, lines) in enumerate({"train": 150, "valid": 12, "test": 12}.items()):
        text = chain(lines, seed)
        (place / f"{part}.txt").write_text(text)
        few = [line.split()[:4] for line in text.splitlines()]
        (place / f"{part}.en").write_text("".join(" ".join(words) + "\n" for words in few))
        (place / f"{part}.de").write_text("".join(" ".join(words[::-1]) + "\n" for words in few))
    return place


@pytest.fixture
def written(request: pytest.FixtureRequest, runner: Runner, folder: Path) -> Runner:
    """The runner of a script, by its name."""
    return replace(runner, source=SCRIPTS[request.param].replace("FOLDER", str(folder)))


@pytest.fixture(autouse=True)
def nothing_is_held() -> Iterator[None]:
    yield
    catalogue._found.cache_clear()


def undisturbed(runner: Runner, place: Path) -> dict[str, str]:
    namespace: dict[str, object] = {"__name__": "study"}
    exec(runner.source, namespace)
    store = Store.open(str(place))
    return contents(train_here(namespace["study"], store), store)  # type: ignore[arg-type]


@pytest.mark.parametrize("written", SCRIPTS, indirect=True)
def test_killed_in_the_middle_of_a_round_and_taken_up(written: Runner, tmp_path: Path) -> None:
    runner = written
    once, pid_file = runner.folder / "killed", runner.folder / "pid"
    env = {"LTH_RAY_KILL_ONCE": str(once), "LTH_RAY_KILL_PID_FILE": str(pid_file)}
    for number, step in enumerate((90, 25)):  # neither of them at a checkpoint, each within a training
        once.unlink(missing_ok=True)
        process = runner.start(LTH_RAY_KILL_AT=f"mid-step:{step}", **env)
        pid_file.write_text(str(process.pid))
        assert process.wait(timeout=240) == -signal.SIGKILL, runner.output[-3000:]
        assert once.exists(), f"kill {number}"
        runner.wait_for_orphans()
    assert runner.run(LTH_RAY_KILL_AT="mid-step:10", LTH_RAY_KILL_ONCE=str(runner.folder / "actor")) == 0, runner.output
    assert (runner.folder / "actor").exists(), "an actor was killed too"
    found = runner.contents()
    assert len(found) == 2 * 3 + 2  # rounds, and random masks, of two lineages
    assert found == undisturbed(runner, tmp_path / "undisturbed")
