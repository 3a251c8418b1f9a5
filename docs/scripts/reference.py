"""The script that writes docs/reference.md from docstrings, config fields, click's commands and the tables'
columns.

`make reference` runs it, and a test compares: what is wrong on that page is put right in the docstring it comes from.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

import click

import lth_ray
from lth_ray import cli, config
from lth_ray.config.words import described, field_words, logical_lines
from lth_ray.record.report.tables import branch_columns, ticket_columns
from lth_ray.training import columns

CURVES = columns(config.ACCURACY)
PAGE = Path(__file__).resolve().parents[1] / "reference.md"
HEAD = """# Reference

Generated from the docstrings by `make reference`. The words are those of [concepts.md](concepts.md).
"""
MODULES = ("analysis", "data", "figures", "models", "pruning")
NAMED = {*config.__all__, *MODULES, "main", "run", "Launch", "Results", "load_ticket", "Ticket"}
ELSEWHERE = tuple(name for name in lth_ray.__all__ if name not in NAMED)  # what else is public
# What is public, as a reader looks for it: (heading, what it says, module, names)
SECTIONS: tuple[tuple[str, str, Any, tuple[str, ...]], ...] = (
    (
        "Declaring a study",
        "All of them are frozen, checked when they are made, and take every field but the first by name.",
        config,
        ("Study", "Model", "Data", "Table", "Sentences", "Text", "Boxes", "Translation", "Environment", "Examples",
         "Train", "Prune", "Scoring", "EarlyBird",
         "Dynamic", "Rewind", "Perturbation", "Pretraining", "Subseeds", "TicketOf", "steps", "epochs", "Length"),
    ),
    (
        "Branches",
        "Experiments hung on tickets. Each also has the fields of `Branch`.",
        config,
        (
            "Branch", "RandomReinit", "Scratch", "Guided", "RandomMask", "ShuffledMask", "Cyclic", "Barrier",
            "Stability", "Connectivity", "Curvature", "Perturb", "Pretrain", "Transfer", "Supermask", "Weights",
            "SignFlips", "MaskOverlap", "Rescored", "PermutedMask", "CrossedMask",
        ),
    ),
    ("Running", "", lth_ray, ("main", "run", "open", "Launch", "Results", "load_ticket", "Ticket", *ELSEWHERE)),
    ("lth_ray.models", "", lth_ray.models, tuple(lth_ray.models.__all__)),
    ("lth_ray.data", "", lth_ray.data, tuple(lth_ray.data.__all__)),
    ("lth_ray.pruning", "", lth_ray.pruning, tuple(lth_ray.pruning.__all__)),
    ("lth_ray.analysis", "", lth_ray.analysis, tuple(lth_ray.analysis.__all__)),
    (
        "lth_ray.figures",
        "Each takes what `Results` returns. `Results.plot` draws them by name, without a frame.",
        lth_ray.figures,
        tuple(lth_ray.figures.__all__),
    ),
)  # fmt: skip
LEDGER = {
    "unique_steps": "of the whole study, each training once", "naive_steps": "of the whole study without sharing",
    "trained_steps": "counted in the loop, in this invocation", "reused_steps": "found in the storage",
    "seconds": "of this invocation",
}  # fmt: skip
COLUMNS = {
    "lineage": "its id: arm, swept values, method, rewind step, seed",
    "arm": "of the study's `arms`, empty without",
    "method": "of retraining, see `Rewind`",
    "seed": "of the lineage",
    "rewind_step": "k",
    "round": "0 is the dense network",
    "remaining_weights": "kept / eligible weights, in [0, 1]",
    "remaining_of_all": "kept / all weights of convolutions, linear, recurrent and embedding layers, in [0, 1]; papers "
    "are compared by it; missing of what an earlier version recorded",
    "steps_per_epoch": "floor(training images / batch)",
    "sparsity": "1 - remaining_weights",
    "lowest_layer_density": "kept / eligible weights of the sparsest layer; missing of a dense network",
    "max_compression": "eligible weights / layers: beyond it a layer must be empty",
    "empty_layers": "layers that keep no weight",
    "cut": "whether no path of kept weights leads from input to output: the network gives the same for every example",
    "test_accuracy": "at the last step, in [0, 1]",
    "test_error": "how far the metric is from the best: 1 - test_accuracy",
    "test_loss": "at the last step, a mean over images",
    "validation_accuracy": "at the last step; missing where `Data(validation=0)`",
    "early_stop_step": "the step of least validation loss; missing without a validation set",
    "early_stop_at_end": "whether that is the last step, where the least loss may come later",
    "test_accuracy_at_early_stop": "test accuracy at that step",
    "train_steps": "of this ticket's own training",
    "diverged_at": "the step at which the loss was not finite any more; missing otherwise",
    "seconds": "of this training or measurement",
    "device": "that trained it",
    "backend": "that trained it, see [speed.md](speed.md)",
    "key": "what it was made from, as a digest: names the record, and is what `load_ticket` takes",
    "content": "sha256 over the tensors' bytes",
    "retrain_epochs": "of this ticket's own training",
    "search_epochs": "of all trainings that its mask and weights come from, dense one excepted",
    "search_flops": "of the same trainings and of the scores that masks were found by, in floating-point operations",
    "ticket_flops": "of these and the dense training as far as they use it: all that this one ticket takes",
    "scoring_flops": "what of these went into scores: a gradient (SNIP, synaptic flow) is three forward passes of the "
    "examples, a Hessian times it (GraSP) nine more; 0 where scores look at weights alone",
    "inference_flops": "of one image through the pruned network",
    "train_bits": "of the numbers that it was trained in: 32, or fewer by Train(precision=)",
    "search_bits": "of the numbers that its mask was found in; missing without a mask",
    "drawn_step": "where its mask was drawn, by `EarlyBird`; missing for others",
    "drawn_at": "the share of training that this step is",
    "drawn_agreed": "whether masks agreed there, and it was not the latest step that was left",
    "branch": "its name behind those of the results it hangs on, such as `random_mask-0/barrier`",
    "index": "of a copy, or of a pair of copies",
}
MEASURED = {
    "`Barrier`": "`pair`, `spawn_step`, `lmc_error_barrier`, `lmc_train_error_barrier`, `lmc_loss_barrier`, "
    "`lmc_train_loss_barrier`, `ends_test_error`, `l2_distance`, `angle` (degrees), `distance_travelled`, "
    "`share_travelled`, `l2_distance_aligned`",
    "`Stability`": "`compared` (pruning or order), `pair`, `spawn_step`, `l2_distance`, `angle`, "
    "`distance_travelled`, `share_travelled`",
    "`Connectivity`": "`other_round`, `other_rewind_step`, `other_method` or `other_seed`; `lmc_error_barrier` and the "
    "others as of `Barrier`, `l2_distance` (over all weights that may be pruned), `l2_distance_aligned`; "
    "`start_to_line`: how far the weights that the ticket set out from lie from the line, and `start_nearest`: from "
    "which place on it, 1 being the ticket; `pruned_to_line`, `pruned_nearest`: likewise of the other's weights "
    "under the ticket's mask",
    "`Curvature`": "`hessian_top` (the largest eigenvalue), `hessian_top_residual` (how far off it may be), "
    "`hessian_iterations`, `hessian_trace`, `hessian_trace_error` (its standard error), `hessian_weights` (n of the "
    "matrix, [n, n])",
    "`Weights`": "`kept_weights`, `pruned_weights`, `moved_kept`, `moved_pruned`, `moved_from_zero`, `sign_flipped`",
    "`SignFlips`": "`sign_flips`, `signs_flipped` (their share of kept weights), `sign_flips_since_init`, "
    "`signs_flipped_since_init`",
    "`MaskOverlap`": "`other_seed`, `jaccard`, `jaccard_by_chance`, `shared`, `shared_by_chance`",
}


def plain(annotation: Any) -> str:
    """Return a type as a reader writes it."""
    text = annotation.__name__ if isinstance(annotation, type) and not hasattr(annotation, "__args__") else annotation
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=\w)", "", str(text)).replace("ForwardRef('Branch')", "Branch").replace("'", "")


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").strip()


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines) + "\n"


def default(field: "Field[Any]") -> str:
    if field.default is not MISSING:
        value = field.default
    elif field.default_factory is not MISSING:
        value = field.default_factory()
    else:
        return "required"
    return f"`{value}`" if isinstance(value, config.Length) else f"`{value!r}`"


def config_entry(name: str, cls: type) -> str:
    words = field_words(cls)
    inherited = {field.name for field in fields(config.Branch)} if cls is not config.Branch else set()
    own = [field for field in fields(cls) if not (issubclass(cls, config.Branch) and field.name in inherited)]  # type: ignore[arg-type]
    rows = [(f"`{f.name}`", f"`{plain(f.type)}`", default(f), words.get(f.name, "")) for f in own]
    listed = table(("field", "type", "default", ""), rows) if rows else ""
    return f"### {name}\n\n{described(cls)[0]}\n\n{listed}"


def signature(value: Callable[..., Any]) -> str:
    found = inspect.signature(value)
    parts = []
    for parameter in found.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in parts and not any(p.startswith("*") for p in parts):
            parts.append("*")
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        shown = f"{stars}{parameter.name}"
        if parameter.annotation is not parameter.empty:
            shown += f": {plain(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            shown += f" = {parameter.default!r}"
        parts.append(shown)
    back = "" if found.return_annotation is found.empty else f" -> {plain(found.return_annotation)}"
    return f"({', '.join(part for part in parts if not part.startswith('self'))}){back}"


def paragraphs(value: Any) -> str:
    """Return a docstring's logical lines, each a paragraph of its own, so that `name: text` lines do not run
    together.
    """
    found: list[str] = []
    for line in logical_lines(inspect.getdoc(value) or ""):
        if found and line and found[-1] and not re.match(r"[\w, ]+: |Errors|Raises", line):
            found[-1] += f" {line}"
        else:
            found.append(line)
    return "\n\n".join(line for line in found if line)


def entry(module: Any, name: str) -> str:
    value = getattr(module, name)
    if inspect.isclass(value) and issubclass(value, config.Config):
        return config_entry(name, value)
    if inspect.isclass(value):
        members = {
            key: member for key, member in vars(value).items()
            if inspect.isfunction(member) and not key.startswith("_") and inspect.getdoc(member)
        }  # fmt: skip
        methods = [f"`{name}.{key}{signature(member)}`: {paragraphs(member)}\n" for key, member in members.items()]
        return f"### {name}\n\n{paragraphs(value)}\n\n" + "\n".join(methods)
    if inspect.isroutine(value):
        return f"### {name}\n\n```python\n{name}{signature(value)}\n```\n\n{paragraphs(value)}\n"
    if isinstance(value, dict):
        return f"### {name}\n\nA table by name: {', '.join(f'`{key}`' for key in value)}.\n"
    return f"### {name}\n\n`{plain(value)}`\n"


def study_command() -> click.Command:
    """Return the flags of every study, as `main` builds them."""
    study = config.Study(
        "any", model=config.Model("lenet_300_100"), data=config.Data("digits", batch_size=60, validation=200),
        train=config.Train(config.steps(1), lr=0.1), prune=config.Prune(fraction=0.2, rounds=1),
        rewind=[config.steps(0)], seeds=[0],
    )  # fmt: skip
    return cli.study_command([study])


def options(command: click.Command) -> str:
    rows = []
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            rows.append((f"`{parameter.human_readable_name}`", "required", ""))
        elif isinstance(parameter, click.Option):
            given = parameter.default if parameter.show_default or isinstance(parameter.default, (int, float)) else None
            shown = "" if parameter.is_flag or not isinstance(given, (int, float, str)) else f"`{given}`"
            value = "" if parameter.is_flag else f" {parameter.make_metavar(click.Context(command))}"
            rows.append((f"`{', '.join(parameter.opts)}{value}`", shown, parameter.help or ""))
    return table(("argument", "default", ""), rows)


def commands(group: click.Group, path: str) -> Iterator[str]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"### {path} {name}\n\n{inspect.cleandoc(command.help or '')}\n\n{options(command)}"


def tables() -> str:
    """Return the columns of the tables that every study has."""
    rows = [(f"`{name}`", kind, COLUMNS[name]) for name, kind in branch_columns().items()]
    curves = ", ".join(f"`{name}`" for name in CURVES)
    return "\n".join(
        [
            "## Columns of the results\n",
            "`Results.tickets()` and `tickets.parquet` have a row a ticket, `Results.branches()` and "
            "`branches.parquet` a row a branch result, with `branch` and `index`. Beside these columns stand one for "
            "each field that the study varies, under its dotted name, and in branches those of its own fields. A value "
            "that was not measured is missing. Where a study is judged by something else than accuracy, its name "
            "stands in place of `accuracy`: `test_r2`, `validation_r2`, `test_r2_at_early_stop`.\n",
            table(("column", "type", ""), rows),
            f"A ticket's curves, by optimizer step: {curves}.\n",
            "Branches that measure add:\n",
            table(("branch", "columns"), list(MEASURED.items())),
            "`Results.ledger()`:\n",
            table(("entry", ""), [(f"`{name}`", text) for name, text in LEDGER.items()]),
        ]
    )


def page() -> str:
    """Return the whole page."""
    assert set(COLUMNS) == set(branch_columns()) >= set(ticket_columns()), set(COLUMNS) ^ set(branch_columns())
    found = [HEAD]
    for heading, text, module, names in SECTIONS:
        found += [f"## {heading}\n", *([text + "\n"] if text else []), *(entry(module, name) for name in names)]
    found += [tables(), "## Flags of a study\n", options(study_command())]
    found += ["## The command line\n", *commands(cli.lth_ray, "lth-ray")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(found)).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
