"""Model(weights=PATH): every lineage begins with the weights of a file."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lth_ray import models
from lth_ray.config import ConfigError, Model, RandomReinit, Rewind, declaration, restore, set_fields, steps
from lth_ray.lottery import load_ticket, make_plan
from lth_ray.lottery.origins import Init
from tests.docs.blocks import blocks

Tensors = dict[str, torch.Tensor]


def weights(seed: int = 7, name: str = "lenet_20_10", **options: Any) -> Tensors:
    return models.build(name, input_shape=(1, 8, 8), seed=seed, **options).state_dict()


def saved(folder: Path, given: Any = None, name: str = "mine.pt") -> str:
    """The path of a file that torch.save has written."""
    torch.save(weights() if given is None else given, folder / name)
    return str(folder / name)


def safe(folder: Path, given: Tensors | None = None, name: str = "mine.safetensors") -> str:
    save_file(weights() if given is None else given, folder / name)
    return str(folder / name)


def plan(lab: Any, path: str, **changes: Any) -> Any:
    return make_plan(lab.study({"model.weights": path, **changes}))


def test_what_a_file_holds_is_in_the_keys_and_its_place_and_form_are_not(lab: Any, tmp_path: Path) -> None:
    given = weights()
    paths = [
        safe(tmp_path), saved(tmp_path, given), saved(tmp_path, {"state_dict": given, "epoch": 3}, "holder.pth"),
        saved(tmp_path, {"model": given, "optimizer": {"lr": 0.1}}, "other.pt"),
    ]  # fmt: skip
    assert len({plan(lab, path).keys for path in paths}) == 1
    changed = given | {"output.bias": given["output.bias"] + 1}
    keys = [plan(lab, path).keys for path in (paths[0], safe(tmp_path, changed, "b.safetensors"))]
    assert not keys[0] & keys[1]
    assert not keys[0] & make_plan(lab.study()).keys


def test_step_0_of_a_lineage_is_the_file_s_weights(lab: Any, tmp_path: Path) -> None:
    """Also for a network saved by DataParallel, in half precision."""
    given = {f"module.{name}": value.bfloat16() for name, value in weights().items()}
    ran = lab.run(lab.study({"model.weights": saved(tmp_path, given), "train.ema_decay": 0.9}))
    assert not ran.failures
    dense, last = (load_ticket(ran.key(number), ran.store.uri) for number in (0, 2))
    assert dense.rewind_state is not None
    assert last.rewind_state is not None
    for name, value in weights().items():
        expected = value.bfloat16().float()
        assert torch.equal(dense.rewind_state[name], expected)
        assert torch.equal(dense.rewind_state[f"averages.{name.replace('.', '/')}"], expected)
        kept = last.mask.get(name, torch.ones_like(value, dtype=torch.bool))
        assert torch.equal(last.rewind_state[name], expected.masked_fill(~kept, 0.0))
        assert (~kept).any() == (name in last.mask)
    assert lab.run(lab.study({"model.weights": saved(tmp_path, given), "train.ema_decay": 0.9})).steps == 0


def test_controls_draw_new_weights(lab: Any, tmp_path: Path) -> None:
    fields = {"branches": [RandomReinit(rounds=[1])], "rewind": [Rewind(steps(0), method="scratch")]}
    ours, theirs = (make_plan(lab.study({"model.weights": path}, **fields)) for path in (safe(tmp_path), None))
    for one in (ours, theirs):
        assert isinstance(one.lineages[0].rounds[1].segment.start, Init)
        assert isinstance(one.branches[0].segment.start, Init)
    assert ours.lineages[0].rounds[1].segment.start == theirs.lineages[0].rounds[1].segment.start
    assert ours.branches[0].segment.start == theirs.branches[0].segment.start
    assert ours.lineages[0].dense.start != theirs.lineages[0].dense.start
    ran = lab.run(lab.study({"model.weights": safe(tmp_path), "prune.rounds": 1}, **fields))
    drawn = load_ticket(ran.branches[0]["key"], ran.store.uri)
    assert drawn.rewind_state is not None
    kept = drawn.mask["fc1.weight"]
    assert not torch.isin(drawn.rewind_state["fc1.weight"][kept], weights()["fc1.weight"]).any()


def test_an_output_layer_of_another_size_is_drawn_where_that_is_said(lab: Any, tmp_path: Path) -> None:
    path = safe(tmp_path, weights(num_classes=3))
    with pytest.raises(ConfigError, match=r"'output.weight' has shape \(3, 10\).*\(10, 10\).*redraw=\['output.\*'\]"):
        plan(lab, path)
    study = lab.study({"model.weights": path, "model.redraw": ["output.*"], "prune.rounds": 0}, seeds=[0, 1])
    ran = lab.run(study)
    states = [load_ticket(ran.key(0, lineage), ran.store.uri).rewind_state or {} for lineage in (0, 1)]
    assert all(torch.equal(state["fc1.weight"], weights(num_classes=3)["fc1.weight"]) for state in states)
    drawn = lab.run(lab.study({"prune.rounds": 0}, seeds=[0, 1]), "drawn")
    for lineage, state in enumerate(states):
        own = load_ticket(drawn.key(0, lineage), drawn.store.uri).rewind_state
        assert own is not None
        assert torch.equal(state["output.weight"], own["output.weight"])
    assert not torch.equal(states[0]["output.weight"], states[1]["output.weight"])


class Tied(nn.Module):
    """Two layers of one weight."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.first, self.second, self.output = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, num_classes)
        self.second.weight = self.first.weight

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.output(self.second(self.first(images.flatten(1)).relu()).relu())
        return logits


@pytest.mark.parametrize("left_out", [None, "first.weight", "second.weight"])
def test_a_tied_weight_may_have_any_of_its_names(lab: Any, tmp_path: Path, left_out: str | None) -> None:
    given = {name: value for name, value in Tied(10).state_dict().items() if name != left_out}
    study = lab.study({"model": Model(Tied, weights=saved(tmp_path, given)), "prune.rounds": 0})
    ran = lab.run(study)
    state = load_ticket(ran.key(0), ran.store.uri).rewind_state
    assert state is not None
    for name in ("first.weight", "second.weight"):
        assert torch.equal(state[name], given.get("first.weight", given.get("second.weight")))


class Code:
    """Code that unpickling would run."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("was_run",)


def _given(change: Callable[[Tensors], Any]) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        given = weights()
        return saved(folder, change(given) or given)

    return write


def _tied_apart(folder: Path) -> str:
    given = {name: value.clone() for name, value in Tied(10).state_dict().items()}
    return saved(folder, given | {"second.weight": given["second.weight"] + 1})


ERRORS: dict[str, tuple[Callable[[Path], str], str]] = {
    "missing file": (lambda folder: str(folder / "none.pt"), "Model.weights = .*none.pt': there is no file"),
    "no such tensor": (_given(lambda w: {n: v for n, v in w.items() if n != "fc1.bias"}), "lacks tensor 'fc1.bias'"),
    "unknown": (_given(lambda w: w | {"fc9.bias": torch.ones(2)}), r"unknown tensor 'fc9.bias'.*redraw=\['fc9.\*'\]"),
    "other names": (
        lambda folder: saved(folder, weights(name="lenet_20_10_5")),
        "holds the unknown tensors 'fc3.weight', 'fc3.bias'",
    ),
    "shape": (_given(lambda w: w | {"fc1.bias": torch.ones(3)}), r"'fc1.bias' has shape \(3,\), the network needs"),
    "integers": (_given(lambda w: w | {"fc1.bias": torch.ones(20).int()}), "'fc1.bias' is torch.int32"),
    "nan": (_given(lambda w: w | {"fc1.bias": torch.full((20,), torch.nan)}), "'fc1.bias' has values that are NaN"),
    "complex": (_given(lambda w: w | {"fc1.bias": torch.ones(20) * 1j}), r"'fc1.bias' is complex \(complex64\)"),
    "float8": (
        _given(lambda w: w | {"fc1.bias": torch.ones(20).to(torch.float8_e4m3fn)}),
        "'fc1.bias' is float8_e4m3fn; its scale is not in it: give float32",
    ),
    "sparse": (_given(lambda w: w | {"fc1.bias": torch.ones(20).to_sparse()}), r"'fc1.bias' is sparse \(sparse_coo\)"),
    "code": (lambda folder: saved(folder, {"w": Code()}), "holds more than tensors, and code from a file is not run"),
    "a whole network": (lambda folder: saved(folder, nn.Linear(2, 2)), "code from a file is not run .*weights_only"),
    "a list": (lambda folder: saved(folder, [torch.ones(2)]), "holds a list and no state dict"),
    "no state dict": (lambda folder: saved(folder, {"weights": weights()}), "holds 'weights' beside or instead"),
    "pruned": (
        _given(lambda w: {f"{n}_orig" if n == "fc1.weight" else n: v for n, v in w.items()}), "`lth-ray import` makes"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_what_does_not_fit_is_named_by_the_plan(
    lab: Any, tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write, message = ERRORS[case]
    path = write(tmp_path)
    with pytest.raises(ConfigError, match=message):
        plan(lab, path)
    assert not (tmp_path / "was_run").exists()


def test_tied_weights_that_differ_are_refused(lab: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'first.weight' and 'second.weight' differ, and are one tensor"):
        make_plan(lab.study(model=Model(Tied, weights=_tied_apart(tmp_path))))


def test_a_cut_file_is_named(lab: Any, tmp_path: Path) -> None:
    for path in (safe(tmp_path), saved(tmp_path)):
        Path(path).write_bytes(Path(path).read_bytes()[:-900])
        with pytest.raises(ConfigError, match=f"{Path(path).name}: not a readable safetensors file"):
            plan(lab, path)


def test_a_relative_path_lies_in_the_data_root_or_the_working_directory(
    lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, here = tmp_path / "root", tmp_path / "here"
    for folder, seed in ((root, 1), (here, 2)):
        folder.mkdir()
        safe(folder, weights(seed))
    safe(here, weights(3), "only_here.safetensors")
    monkeypatch.chdir(here)
    study, other = (lab.study({"model.weights": f"{name}.safetensors"}) for name in ("mine", "only_here"))
    found = [make_plan(one, at).study.model.file for one, at in ((study, str(root)), (study, None), (other, str(root)))]
    assert [one.path for one in found if one] == [
        str(root / "mine.safetensors"), str(here / "mine.safetensors"), str(here / "only_here.safetensors")
    ]  # fmt: skip


def test_a_recorded_study_is_planned_without_its_files(lab: Any, tmp_path: Path) -> None:
    path = safe(tmp_path)
    study = lab.study(sweep={"model.weights": [path, None]}, arms={"a": {"model.init": "kaiming"}})
    made = make_plan(study)
    assert ["mine.safetensors" in lineage.id for lineage in made.lineages] == [True, False]
    Path(path).unlink()
    again = make_plan(restore(declaration(made.study)), None, None, made.identities)
    assert again.keys == made.keys
    with pytest.raises(ConfigError, match="there is no file"):
        make_plan(study)


def test_a_file_that_changes_behind_a_plan_trains_nothing(lab: Any, tmp_path: Path) -> None:
    from lth_ray import data
    from lth_ray.lottery import execute
    from lth_ray.lottery.execution.reading import MissingState

    made = plan(lab, safe(tmp_path))
    safe(tmp_path, weights(8))
    with pytest.raises(MissingState, match=r"mine.safetensors are others than when the study was planned"):
        execute(made.jobs[0].pieces[0], lab.store(), data.load(lab.study().data), "cpu")


@pytest.mark.parametrize(
    ("changes", "fields", "message"),
    [
        ({"model.redraw": ["fc9.*"]}, {}, r"Model.redraw = 'fc9.\*': no tensor of this network"),
        ({}, {"ticket": "imported-0"}, "Study.ticket = 'imported-0' and Model.weights = 'mine.pt' both give"),
    ],
)
def test_what_is_of_no_use_is_refused(
    lab: Any, tmp_path: Path, changes: dict[str, Any], fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_plan(lab.study({"model.weights": saved(tmp_path), **changes}, **fields))
    with pytest.raises(ConfigError, match=r"without Model.weights all are drawn"):
        Model("lenet_5", redraw=["output.*"])


def test_the_example_of_the_documents(lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It prunes the file's weights, and each round goes on from what the one before was fine-tuned to."""
    given = weights(name="lenet_300_100")
    safe(tmp_path, given, "pretrained.safetensors")
    monkeypatch.chdir(tmp_path)
    [example] = [block.text for block in blocks("docs/tickets.md") if "pretrained.safetensors" in block.text]
    said: dict[str, Any] = {"__name__": "example"}
    exec(example, said)
    assert make_plan(said["study"]).unique_steps == 3 * 3 * 400
    ran = lab.run(set_fields(said["study"], {"train.length": steps(3), "seeds": [0]}))
    assert ran.steps == 3 * 3
    assert [round(row["remaining_weights"], 3) for row in ran.tickets] == [1.0, 0.5, 0.25, 0.125]
    first, second = (load_ticket(ran.key(number), ran.store.uri) for number in (1, 2))
    kept = first.mask["fc1.weight"]
    assert given["fc1.weight"][kept].abs().min() >= given["fc1.weight"][~kept].abs().max()
    assert first.trained_state is not None
    assert second.rewind_state is not None
    kept = second.mask["fc1.weight"]
    assert torch.equal(second.rewind_state["fc1.weight"][kept], first.trained_state["fc1.weight"][kept])
