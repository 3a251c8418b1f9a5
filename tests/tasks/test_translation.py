"""Translation: batches of tokens, the loss by hand, BLEU as sacrebleu's own command gives it, workers, resumption, and
a study of tickets.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lth_ray.config import ConfigError, Model, Prune, RandomReinit, Study, Train, Translation, set_fields, steps
from lth_ray.config.tasks.translation import PAD, bleu_signature
from lth_ray.data.text.spelling import spelled
from lth_ray.lottery import branch_rows, make_plan, ticket_rows
from lth_ray.lottery.execution.networks import build
from lth_ray.models.language.translating import translated
from lth_ray.store import Store
from lth_ray.tasks import bleu, task_of
from lth_ray.training import Recipe, Seeds, Start, Team, evaluate, train_segment
from tests.carried_out import carried_out
from tests.training.setups import clone
from tests.training.teams import together

pytest.importorskip("sacrebleu", reason="the text extra is not installed")
pytest.importorskip("tokenizers", reason="the text extra is not installed")

WORDS = {
    "one": "eins",
    "two": "zwei",
    "three": "drei",
    "dog": "Hund",
    "cat": "Katze",
    "runs": "rennt",
    "sleeps": "ruht",
}
MODELS = {"transformer_1_8": {"heads": 2}, "gnmt_2_6": {}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language of few words, said in another order in the other one."""
    made, draw = tmp_path_factory.mktemp("parallel"), np.random.default_rng(0)
    for part, n in (("train", 90), ("valid", 12), ("test", 25)):
        sentences = [draw.choice(list(WORDS), draw.integers(1, 7)).tolist() for _ in range(n)]
        (made / f"{part}.en").write_text("".join(" ".join(one) + " .\n" for one in sentences))
        (made / f"{part}.de").write_text("".join(" ".join(WORDS[w] for w in one[::-1]) + " .\n" for one in sentences))
    return made


@pytest.fixture(autouse=True)
def cached(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache folder for the module: made once, as every process keeps what it has read."""
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda _: str(tmp_path_factory.getbasetemp() / "encoded"))


def declared(folder: Path, **fields: Any) -> Translation:
    given = {
        "vocabulary": 310,
        "tokens": 24,
        "batch_size": 4,
        "validation": 10,
        "max_length": 6,
        "bucket": 2,
        "beam": 2,
    }
    return Translation(f"text:{folder}", **given | fields)


def recipe(folder: Path, model: str = "transformer_1_8", group: int | None = None, **fields: Any) -> Recipe:
    data, options = declared(folder, **fields), {"dropout": 0.1 if group is None else 0.0, **MODELS[model]}
    train = Train(steps(10), optimizer="adam", lr=3e-3, label_smoothing=0.1, batch_norm_group=group)
    return Recipe(Model(model, options=options), data, train, task_of(data).identify())


def test_what_a_network_is_told(folder: Path) -> None:
    task = task_of(declared(folder))
    identity, loaded = task.identify(), task.load()
    assert identity.input_dtype == "int64"
    assert identity.num_classes == len(loaded.test.spelling)
    assert (identity.n_validation, identity.n_test) == (10, 25)
    assert identity.n_train == len(loaded.train) < 90  # longer pairs are left out, of the test set none
    assert identity.input_shape == (2, 6)
    assert int(loaded.train.pairs.lengths.max()) <= 6
    assert int(loaded.test.pairs.lengths.max()) > 6
    recipe_ = recipe(folder)
    assert recipe_.steps_per_epoch == identity.steps_per_epoch
    assert recipe_.examples_a_step == 4 * (24 // 6)


def test_batches_are_a_function_of_the_step_and_workers_share_them(folder: Path) -> None:
    task = task_of(declared(folder))
    loaded = task.load()
    whole, seen = task.stream(loaded, 5, 0), []
    for step in range(whole.steps_per_epoch):
        pairs, targets, tokens = whole.batch(step)
        assert pairs.shape == (4, 24 // pairs.shape[-1], 2, pairs.shape[-1])
        assert targets.shape == (4, 24 // pairs.shape[-1], pairs.shape[-1])
        assert float(tokens.sum()) == int((targets != PAD).sum())
        seen += [line for line in spelled(targets.flatten(0, 1), loaded.test.spelling) if line]
        parts = [task.stream(loaded, 5, 0, part).batch(step) for part in (range(1), range(1, 4))]
        joined = [torch.cat(tensors) for tensors in zip(*parts, strict=True)]
        assert all(map(torch.equal, joined, (pairs, targets, tokens)))
    kept = [line for line in (folder / "train.de").read_text().splitlines() if line in seen]
    assert sorted(seen) == sorted(kept)  # each pair once
    assert len(seen) == len(loaded.train)
    again = task.stream(loaded, 5, 0)
    assert torch.equal(again.batch(whole.steps_per_epoch + 1)[0], whole.batch(whole.steps_per_epoch + 1)[0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_by_hand(folder: Path, smoothing: float) -> None:
    given = recipe(folder)
    task, model = given.task, build(given, seed=0).eval()
    loss = task.loss(Train(steps(1), lr=0.1, label_smoothing=smoothing))
    pairs, targets, tokens = task.stream(task.load(), 1, 0).batch(2)
    found = loss(model, (pairs, targets, tokens))[0].item()
    total = 0.0
    for pair, target in zip(pairs.flatten(0, 1), targets.flatten(0, 1), strict=True):
        logs = model(pair[None])[0].double().log_softmax(-1)
        for place, token in enumerate(target.tolist()):
            if token != PAD:
                mean = logs[place].mean().item()
                total -= (1 - smoothing) * logs[place, token].item() + smoothing * mean
    assert found == pytest.approx(total / int((targets != PAD).sum()), rel=1e-5)
    parts = [loss(model, (pairs[i : i + 1], targets[i : i + 1], tokens[i : i + 1]))[0].item() for i in range(4)]
    assert sum(parts) / 4 == pytest.approx(found, rel=1e-5)  # as groups and workers add them up


@pytest.mark.parametrize(("name", "beam"), [("transformer_1_8", 1), ("gnmt_2_6", 3)])
def test_evaluation_counts_each_token_once_and_is_what_sacrebleu_says(
    folder: Path, tmp_path: Path, name: str, beam: int
) -> None:
    given = recipe(folder, name, beam=beam, coverage_penalty=0.1 if beam > 1 else 0.0)
    model, found = build(given, seed=1), {}
    torch.nn.init.normal_(model.embedding.weight, std=2.0)
    for tokens, bucket in ((24, 2), (200, 7)):
        task = task_of(declared(folder, tokens=tokens, bucket=bucket, beam=beam, length_penalty=1.0))
        loaded = task.load()
        found[tokens] = evaluate(model, task.examples(loaded, loaded.test), task, given.train)
    assert found[24].n == found[200].n == int(loaded.test.pairs.target.lengths.sum())
    assert found[24].loss == pytest.approx(found[200].loss, rel=1e-5)

    model.eval()
    total, sentences = 0.0, []
    references = (folder / "test.de").read_text().splitlines()
    for row in range(len(loaded.test)):
        length = int(loaded.test.pairs.lengths[row])
        pairs, targets = loaded.test.filled_up(np.array([row]), length)
        with torch.no_grad():
            total += float(F.cross_entropy(model(pairs)[0].double(), targets[0], ignore_index=PAD, reduction="sum"))
            out = translated(model, pairs[:, 0], beam=beam, length_penalty=1.0, coverage_penalty=0.0)
        sentences += spelled(out, loaded.test.spelling)
        assert spelled(targets, loaded.test.spelling) == [references[row]]
    assert found[24].loss == pytest.approx(total / found[24].n, rel=1e-5)
    (tmp_path / "said").write_text("".join(f"{line}\n" for line in sentences))
    (tmp_path / "wanted").write_text("".join(f"{line}\n" for line in references))
    command = [sys.executable, "-m", "sacrebleu", "wanted", "-i", "said", "-m", "bleu", "-w", "12"]
    said = json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, text=True).stdout)
    assert found[24].value == pytest.approx(said["score"], abs=1e-9)
    assert found[200].value == pytest.approx(said["score"], abs=1e-9)
    assert said["signature"] == bleu_signature() == declared(folder).metric.signature


def test_bleu_of_parts_adds_up_to_that_of_the_whole() -> None:
    from sacrebleu.metrics import BLEU

    said = ["the cat sat on the mat", "a dog, running!", "", "it is what it is and nothing else"]
    wanted = ["the cat sat on a mat", "A dog is running.", "nothing", "it is what it is, and nothing more"]
    whole = BLEU().corpus_score(said, [wanted]).score
    parts = sum(bleu.counts(said[i : i + 1], wanted[i : i + 1]) for i in range(4))
    assert isinstance(parts, torch.Tensor)
    assert bleu.score(parts) == pytest.approx(whole, abs=1e-12)
    assert 20 < whole < 60
    assert bleu.score(bleu.counts(wanted, wanted)) == pytest.approx(100)


def trained(given: Recipe, last: int, start: Start | None = None, team: Team | None = None) -> Any:
    model = build(given, seed=1)
    start = start or Start(0, {name: value.clone() for name, value in model.state_dict().items()})
    arguments = given, model, given.task.load(), None, Seeds(1, 2, 3), start, last
    return list(train_segment("key", *arguments, team=team or Team()))[-1]


@pytest.mark.parametrize("name", MODELS)
def test_going_on_from_a_step_is_bitwise_the_whole(folder: Path, name: str) -> None:
    given = recipe(folder, name)
    half = trained(given, 4)
    start = Start(4, clone(half.run.model.state_dict()), clone(half.run.optimizer.state_dict()))
    whole, resumed = trained(given, 9), trained(given, 9, start)
    assert given.steps_per_epoch < 9  # an epoch ends on the way
    states = whole.run.model.state_dict(), resumed.run.model.state_dict()
    assert all(torch.equal(states[0][one], states[1][one]) for one in states[0])
    assert whole.journal["test_bleu"][-1] == resumed.journal["test_bleu"][-1]


@pytest.mark.parametrize("name", MODELS)
def test_workers_train_and_measure_the_same_network(folder: Path, name: str) -> None:
    given = recipe(folder, name, group=1)

    def work(team: Team) -> Any:
        end = trained(given, 4, team=team)
        return {"weights": end.run.model.state_dict(), "journal": {k: v[-1] for k, v in end.journal.items()}}

    (alone,) = together(1, work)
    for found in together(2, work):
        for one, value in alone["weights"].items():
            assert torch.allclose(found["weights"][one], value, atol=2e-6), one
        assert found["journal"] == pytest.approx(alone["journal"], rel=1e-4)


def test_a_study_of_tickets_that_translate(folder: Path, tmp_path: Path) -> None:
    study = Study(
        "translating",
        model=Model("transformer_1_8", options={"heads": 2}),
        data=declared(folder, beam=1, batch_size=1),
        train=Train(steps(30), optimizer="adam", lr=1e-2, evaluate_every=steps(15)),
        prune=Prune(fraction=0.5, rounds=1),
        rewind=[steps(5)],
        seeds=[0],
        branches=[RandomReinit()],
    )
    store = Store.open(str(tmp_path))
    plan = carried_out(study, store)
    tickets = ticket_rows(plan, store)
    assert [row["remaining_weights"] for row in tickets] == pytest.approx([1, 0.5], abs=1e-3)
    assert all(0 <= row["test_bleu"] <= 100 for row in (*tickets, *branch_rows(plan, store)))
    assert all(row["test_error"] == pytest.approx(100 - row["test_bleu"]) for row in tickets)
    record: Any = store.segment(tickets[1]["key"])
    assert record["metric"]["signature"] == bleu_signature()
    assert "embedding.weight" in record["layer_densities"]
    assert record["tied"] == {"output.weight": "embedding.weight"}
    assert record["collapse"]["cut"] is False
    assert record["forward_flops"] > 0


def test_criteria_by_gradients_take_the_loss_of_translation(folder: Path, tmp_path: Path) -> None:
    study = Study(
        "saliency",
        model=Model("gnmt_2_6"),
        data=declared(folder, beam=1, batch_size=1, evaluation_pairs=2),
        train=Train(steps(2), optimizer="adam", lr=1e-2),
        prune=Prune("snip", fraction=0.5, rounds=1, at=steps(0)),
        rewind=[steps(0)],
        seeds=[0],
    )
    store = Store.open(str(tmp_path))
    plan = carried_out(study, store)
    assert ticket_rows(plan, store)[-1]["remaining_weights"] == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"target": "en"}, "Translation.target = 'en': that is the source's language"),
        ({"source": "../en"}, "give the ending of a language's files"),
        ({"tokens": 5}, "Translation.tokens = 5: a block holds no sentence of max_length = 6"),
        ({"tokens": 5, "max_length": None}, "Translation.tokens = 5: a block holds no sentence of 8 tokens"),
        ({"validation": 13}, "Translation.validation = 13: the validation part has 12 pairs"),
        ({"max_length": 2}, "Translation.max_length = 2: the shortest pair has"),
        ({"vocabulary": 100}, "give a whole number of at least 259"),
        ({"beam": 1, "coverage_penalty": 0.1}, "it ranks hypotheses, of which beam = 1 has one"),
    ],
)
def test_bad_values_are_refused(folder: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        task_of(declared(folder, **fields)).identify()


def test_it_is_not_trained_in_replicates(folder: Path) -> None:
    study = Study(
        "other",
        model=Model("transformer_1_8", options={"heads": 2}),
        data=declared(folder),
        train=Train(steps(3), lr=0.1),
        prune=Prune(fraction=0.5, rounds=1),
        rewind=[steps(0)],
        seeds=[0],
    )
    with pytest.raises(ConfigError, match=r"Train\.replicates = 2: what networks say of Translation is searched for"):
        make_plan(set_fields(study, {"train.replicates": 2}))
