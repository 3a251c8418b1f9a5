"""Imports go only downwards, heavy libraries stay where they belong, and `import lth_ray` is light."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Container, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.repository import files

PACKAGE = Path(__file__).resolve().parents[1] / "lth_ray"
LAYERS = [
    {"__main__"}, {"cli"}, {"commands"}, {"running"}, {"watching"}, {"record"}, {"lottery"}, {"analysis"},
    {"training"}, {"pruning"},
    {"tasks"}, {"models", "data"}, {"store"}, {"config"}, {"probes", "collector", "printing", "unpublished"},
]  # fmt: skip
DEPTH = {name: depth for depth, layer in enumerate(LAYERS) for name in layer}
ONLY_IN = {"ray": {"running", "cli"}, "mlflow": {"record"}, "boto3": {"store"}}
MOST_MODULES, MOST_LINES = 24, 300  # of a folder, and of a module: one that outgrows them holds a second idea
MODULES = sorted(PACKAGE.rglob("*.py"))
EXTRAS = {
    "ale_py", "boto3", "botocore", "cv2", "faster_coco_eval", "gymnasium", "kubernetes_validate", "moto", "onnx",
    "onnxruntime", "onnxscript", "playwright", "sacrebleu", "tensorboard", "tokenizers", "transformers", "wandb",
}  # fmt: skip


def layer(path: Path) -> str:
    """The layer of a module: its folder in the package, or its own name; "" for lth_ray/__init__.py itself."""
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if name == "__init__" else name


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything a module imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write absolute imports"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_only_downwards(path: Path) -> None:
    own = layer(path)
    assert not own or own in DEPTH, f"{own} is in no layer: enter it in LAYERS"
    for line, name in imports(path):
        first, _, rest = name.partition(".")
        where = f"{path.relative_to(PACKAGE.parent)}:{line} imports {name}"
        assert not own or name != "lth_ray", f"{where}: name the layer, from lth_ray import ..."
        assert own in ONLY_IN.get(first, {own}), f"{where}: only {ONLY_IN[first]} may"
        below = rest.partition(".")[0]
        if first == "lth_ray" and own and below in DEPTH and below != own:
            assert DEPTH[below] > DEPTH[own], where


def test_folders_and_modules_stay_small() -> None:
    folders = Counter(path.parent for path in MODULES)
    crowded = {str(folder.relative_to(PACKAGE)): n for folder, n in folders.items() if n > MOST_MODULES}
    lines = {path: len(path.read_text().splitlines()) for path in MODULES}
    long = {str(path.relative_to(PACKAGE)): n for path, n in lines.items() if n > MOST_LINES}
    assert (crowded, long) == ({}, {})


def test_the_layers_are_those_there_are() -> None:
    assert {layer(path) for path in MODULES} - {""} == DEPTH.keys()


# (module, what it imports though that imports it): loaded late because it is slow, or for its types alone
CIRCLES = {
    ("lth_ray.data.batches", "lth_ray.data.packed.streaming"),
    ("lth_ray.running.trial", "lth_ray.running.worker"),
    ("lth_ray.training.epoch_averages", "lth_ray.training.loop"),
}


def test_no_module_imports_one_that_imports_it() -> None:
    """Neither directly nor through others, inside a function or for its types alone: what calls what has one direction.

    The package itself is left out: it passes on names of its layers when they are asked for.
    """
    modules = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in MODULES}
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}
    graph = {own: {_module_of(name, modules) for _, name in imports(path)} for own, path in modules.items()}
    TopologicalSorter(
        {own: {one for one in needed - {own, "lth_ray"} if (own, one) not in CIRCLES} for own, needed in graph.items()}
    ).prepare()


def _module_of(name: str, modules: Container[str]) -> str:
    """Return the module of a dotted name that may end in what the module defines."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name


def test_every_import_of_the_package_names_a_layer() -> None:
    """So that `from lth_ray import X` does not go round the rule: only __version__ and layers are imported so."""
    for path in MODULES:
        if layer(path):
            names = {name.split(".")[1] for _, name in imports(path) if name.startswith("lth_ray.")}
            assert names <= {*DEPTH, "__version__"}, path


def test_tests_are_collected_without_extras() -> None:
    """So that where one is not installed, what needs it is skipped and the rest of its file is not lost."""
    for path in (*files("tests/**", "test_*.py"), *files("tests/**", "conftest.py")):
        at_top = {node.lineno for node in ast.parse(path.read_text()).body}
        named = {name for line, name in imports(path) if line in at_top}
        assert not {name.partition(".")[0] for name in named} & EXTRAS, path
        assert not {name for name in named if name.startswith("lth_ray.store.s3")}, path


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    return set(found.stdout.split())


HEAVY = {"torch", "ray", "mlflow", "pandas", "pyarrow", "matplotlib"}


def test_importing_the_package_and_declaring_a_study_is_light() -> None:
    declared = "import lth_ray; from lth_ray import Study, Model, Data, Train, Prune, Rewind, RandomReinit, steps"
    assert not loaded_by(declared) & HEAVY


def test_the_science_imports_neither_ray_nor_mlflow() -> None:
    below = ", ".join(f"lth_ray.{name}" for name in DEPTH if DEPTH[name] > DEPTH["record"])
    assert not loaded_by(f"import {below}") & {"ray", "mlflow"}


def test_the_record_imports_no_ray() -> None:
    assert "ray" not in loaded_by("import lth_ray.record")
