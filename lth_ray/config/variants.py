"""Fan-out: a study's arms, sweeps, rewind points and seeds as a flat list of variants; dotted fields."""

import ast
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lth_ray.config.base import Config, ConfigError, field_table, no_field
from lth_ray.config.branches import Branch
from lth_ray.config.launch import Launch
from lth_ray.config.rewind import Rewind
from lth_ray.config.study import Study, with_given_tickets
from lth_ray.config.units import Length, epochs, steps

FIXED = (
    "name",
    "arms",
    "sweep",
    "smoke",
    "smoke_shows",
    "may_fail",
    "margin",
    "otherwise",
    "against",
)  # what no arm and no sweep may vary


PARTS = ("model", "data", "train", "prune", "subseeds")  # of a study, whose fields are set together


@dataclass(frozen=True)
class Variant:
    """One lineage's declaration: a study with everything chosen.

    varied: the swept values by their dotted field, in the order declared (also columns of every record).
    """

    study: Study
    arm: str
    varied: Mapping[str, Any]
    rewind: Rewind
    seed: int

    @property
    def alone(self) -> Study:
        """The study that declares this lineage and no other, however many there are beside it."""
        return replace(self.study, arms={}, may_fail=(), sweep={}, rewind=[self.rewind], seeds=[self.seed])


def set_field(config: Any, path: str, value: Any, *, whole: str = "", elsewhere: Sequence[str] = ()) -> Any:
    """Return `config` with the dotted field `path` set to `value`.

    elsewhere: dotted fields that may be meant where there is no such one.
    """
    whole = whole or path
    head, _, rest = path.partition(".")
    if isinstance(config, Mapping):
        return {**config, path: value}
    if not isinstance(config, Config):
        raise ConfigError(f"{whole!r}: {type(config).__name__} has no fields to set")
    table = field_table(type(config))
    if head not in table:
        raise ConfigError(f"{whole!r}: {no_field(type(config), head, elsewhere)}")
    inner = set_field(getattr(config, head), rest, value, whole=whole, elsewhere=elsewhere) if rest else value
    return replace(config, **{head: inner})


def set_fields(study: Study, changes: Mapping[str, Any]) -> Study:
    """Return `study` with several dotted fields set.

    All fields of one part are set together, so that no order of them passes through an invalid config.
    """
    parts: dict[str, dict[str, Any]] = {}
    for path, value in changes.items():
        head, _, rest = path.partition(".")
        if rest and head in PARTS and "." not in rest:
            parts.setdefault(head, {})[rest] = value
        else:
            study = set_field(study, path, value, elsewhere=_paths(study))
    for head, values in parts.items():
        part = getattr(study, head)
        table = field_table(type(part))
        for name in values.keys() - table.keys():
            raise ConfigError(f"'{head}.{name}': {no_field(type(part), name, _paths(study))}")
        study = replace(study, **{head: replace(part, **values)})
    return study


def _paths(study: Study) -> list[str]:
    """Return the dotted fields of a study and its parts, as --set has them."""
    return [
        *field_table(Study),
        *(f"{part}.{name}" for part in PARTS for name in field_table(type(getattr(study, part)))),
    ]


def variants(study: Study) -> list[Variant]:
    """Return every lineage that `study` declares: arms x sweep x rewind points x seeds, in this order."""
    found = []
    for arm, changes in (study.arms or {"": {}}).items():
        _check_varied(changes)
        _check_varied(study.sweep)
        base = set_fields(study, changes)
        for values in itertools.product(*study.sweep.values()):
            varied = dict(zip(study.sweep, values, strict=True))
            chosen = set_fields(base, varied)
            _check_metric(chosen, study)
            found += [Variant(chosen, arm, varied, rewind, seed) for rewind in chosen.rewind for seed in chosen.seeds]
    return found


def _check_varied(changes: Mapping[str, Any]) -> None:
    for path in changes:
        if path.split(".")[0] in FIXED:
            raise ConfigError(f"{path!r} cannot be varied by an arm or a sweep: only one study can have it")


def _check_metric(chosen: Study, study: Study) -> None:
    own, common = chosen.data.metric, study.data.metric
    if own.name != common.name:
        raise ConfigError(
            f"an arm or a sweep is judged by {own.called}, the study by {common.called}: one study compares all its "
            "networks by one metric; make them two studies"
        )


def parse(text: str) -> Any:
    """Return the value of a --set or --sweep: steps(5), epochs(2), numbers, lists, dicts, True, None; else
    the text itself.
    """
    try:
        return _literal(ast.parse(text.strip(), mode="eval").body)
    except ConfigError:
        raise
    except (SyntaxError, ValueError, TypeError):
        return text.strip()
    except (RecursionError, MemoryError):  # which ast raises for what is nested too deeply
        raise ConfigError(f"{text}: nested too deeply to be a value; write it into the study's script") from None


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("steps", "epochs"):
        return {"steps": steps, "epochs": epochs}[node.func.id](*[_literal(arg) for arg in node.args])
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_literal(item) for item in node.elts]
    return ast.literal_eval(node)


def _assignment(text: str, flag: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise ConfigError(f"--{flag} {text!r}: write field=value, such as train.lr=0.1")
    return path.strip(), value


def launched(study: Study, launch: Launch) -> Study:
    """Return `study` as the command line asks for it: --smoke, --set and --sweep; a changed study gets a name
    of its own.
    """
    changes = dict(study.smoke) if launch.smoke else {}
    assigned = {path: parse(value) for path, value in (_assignment(text, "set") for text in launch.set)}
    for path in assigned:
        for arm, fields in study.arms.items():
            if path in fields or path.split(".")[0] in fields:
                raise ConfigError(f"--set {path}: the arm {arm!r} sets it too and would win; change it in the study")
    suffix = "-smoke" if launch.smoke else ""
    suffix += "".join(f"-{path.split('.')[-1]}_{_plain(value)}" for path, value in assigned.items())
    changed = set_fields(study, {**changes, **assigned})
    changed = with_given_tickets(changed, lambda given: replace(given, study=launched(given.study, launch)))
    if {"prune.rounds", "prune.remaining"} & {*changes, *assigned}:
        changed = within_rounds(changed)
    added = {}
    for text in launch.sweep:
        path, value = _assignment(text, "sweep")
        values = parse(f"[{value}]")
        added[path] = tuple(values) if isinstance(values, list) else tuple(parse(item) for item in value.split(","))
    shortened = launch.smoke or not changed.smoke  # now, or before: what --smoke changes is then gone
    shows = changed.smoke_shows if shortened else "learning"
    sweep, smoke = {**changed.sweep, **added}, {} if launch.smoke else changed.smoke
    return replace(changed, name=launch.name or changed.name + suffix, sweep=sweep, smoke=smoke, smoke_shows=shows)


def within_rounds(study: Study) -> Study:
    """Return `study`, its branches' rounds cut to those there still are where the command line took rounds
    away.

    A branch that would lose all its rounds is hung on the last one.
    """
    last = study.prune.num_rounds

    def cut(branches: Sequence[Branch]) -> tuple[Branch, ...]:
        return tuple(
            branch
            if branch.rounds is None or max(branch.rounds, default=0) <= last
            else replace(branch, rounds=[n for n in branch.rounds if n <= last] or [last])
            for branch in branches
        )

    arms = {
        name: {path: cut(tuple(value)) if path == "branches" else value for path, value in fields.items()}
        for name, fields in study.arms.items()
    }
    return replace(study, branches=cut(study.branches), arms=arms)


def _plain(value: Any) -> str:
    """Return a value as a part of a name."""
    text = f"{value.plain}{value.unit}" if isinstance(value, Length) else str(value)
    return "".join(c if c.isascii() and (c.isalnum() or c in "._") else "_" for c in text)[:40]
