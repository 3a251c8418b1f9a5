"""A user's own function in a key: what changes the key and what does not, and what is refused."""

import functools
import importlib.util
import itertools
import linecache
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import pytest

from lth_ray.config import ConfigError, Model, Train, declaration, meaning, restore, settled, steps

BASE = '''
import functools, threading
import helpers
DEPTH = 2
OTHER = 5

class Block:
    scale = 1

    def wide(self):
        return self.scale * DEPTH

class Net(Block):
    """A network."""

    def __init__(self, width=8, *, act=len):
        self.width = width

def helper(x):
    return x + 1

def net(num_classes, width=8):
    """Say what it is."""
    # a remark
    return helper(width) + helpers.scaled(2) + DEPTH

def mlp(width):
    def inner(num_classes):
        return num_classes * width
    return inner

def local(num_classes):
    from helpers import scaled
    return scaled(num_classes)

one, two = (lambda n: n + 1), (lambda n: n + 2)
lock = threading.Lock()

def locked():
    return lock
'''
HELPERS = "FACTOR = 3\n\ndef scaled(x):\n    return x * FACTOR\n\ndef unused(x):\n    return x\n"
numbers = itertools.count()


def load(folder: Path, text: str, name: str = "") -> ModuleType:
    """A module of this source, under a name that it keeps."""
    path = folder / f"{name or 'mine'}{next(numbers)}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name or "mine", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name or "mine"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def no_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mine", "helpers"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))  # put back afterwards


def told(folder: Path, what: str, *changes: tuple[str, str]) -> Any:
    """The key's part of `what` (an expression in the module), each (old, new) in the sources being changed."""
    texts = {"helpers": HELPERS, "mine": BASE}
    for old, new in changes:
        assert any(old in text for text in texts.values())
        texts = {name: text.replace(old, new) for name, text in texts.items()}
    load(folder, texts["helpers"], "helpers")
    module = load(folder, texts["mine"])
    return meaning(Model(eval(what, vars(module))))


SAME = {
    "a comment": ("net", ("# a remark", "# another\n    # and more")),
    "a docstring": ("net", ('"""Say what it is."""', '"""Another."""')),
    "formatting": ("net", ("def net(num_classes, width=8)", "def net(\n    num_classes,\n    width = 8,\n)")),
    "its place": ("net", ("DEPTH = 2", "\n\n\nDEPTH = 2")),
    "a global it does not use": ("net", ("OTHER = 5", "OTHER = 6")),
    "a helper's comment": ("net", ("return x + 1", "return x + 1  # one more")),
    "what a module of one's own has besides": ("net", ("def unused(x):\n    return x\n", "")),
    "a class's docstring": ("Net", ('"""A network."""', "")),
    "another closure of the factory": ("mlp(8)", ("lock = threading", "wide = mlp(9)\nlock = threading")),
}
OTHER = {
    "its source": ("net", ("helper(width)", "helper(width + 1)")),
    "a default": ("net", ("width=8)", "width=9)")),
    "a global": ("net", ("DEPTH = 2", "DEPTH = 3")),
    "a helper": ("net", ("return x + 1", "return x + 2")),
    "a function of a module of one's own": ("net", ("x * FACTOR", "FACTOR")),
    "and what that refers to": ("net", ("FACTOR = 3", "FACTOR = 4")),
    "what it imports as it runs": ("local", ("FACTOR = 3", "FACTOR = 4")),
    "a method": ("Net", ("self.width = width", "self.width = 2 * width")),
    "a base class": ("Net", ("self.scale * DEPTH", "DEPTH")),
    "a class attribute": ("Net", ("scale = 1", "scale = 2")),
    "what a method refers to": ("Net", ("DEPTH = 2", "DEPTH = 3")),
    "a keyword's default": ("Net", ("act=len", "act=abs")),
    "a closed-over value": ("mlp(OTHER)", ("OTHER = 5", "OTHER = 6")),
    "a lambda": ("one", ("n + 1", "n + 3")),
    "a partial's argument": ("functools.partial(net, width=OTHER)", ("OTHER = 5", "OTHER = 6")),
    "an object's attribute": ("functools.partial(net, width=Net(OTHER))", ("OTHER = 5", "OTHER = 6")),
}


@pytest.mark.parametrize(("what", "change"), SAME.values(), ids=SAME)
def test_what_moves_no_key(what: str, change: tuple[str, str], tmp_path: Path) -> None:
    assert told(tmp_path, what) == told(tmp_path, what, change)


@pytest.mark.parametrize(("what", "change"), OTHER.values(), ids=OTHER)
def test_what_is_another_function(what: str, change: tuple[str, str], tmp_path: Path) -> None:
    assert told(tmp_path, what) != told(tmp_path, what, change)


def test_two_of_one_name_are_told_apart(tmp_path: Path) -> None:
    load(tmp_path, HELPERS, "helpers")
    module = load(tmp_path, BASE)
    assert meaning(Model(module.mlp(8))) != meaning(Model(module.mlp(64)))
    assert meaning(Model(module.mlp(8))) == meaning(Model(module.mlp(8)))
    assert meaning(Model(module.one)) != meaning(Model(module.two))  # two lambdas of one line
    by_loss = [meaning(Train(steps(1), lr=0.1, loss=module.mlp(width))) for width in (8, 64)]
    assert by_loss[0] != by_loss[1]
    assert meaning(Model(functools.partial(module.mlp, 8))) != meaning(Model(functools.partial(module.mlp, 9)))


def test_a_cell_of_a_notebook_that_is_edited(tmp_path: Path) -> None:
    """Its source is where IPython leaves it."""

    def cell(text: str) -> Any:
        name, scope = f"<cell {next(numbers)}>", {"__name__": "__main__"}
        linecache.cache[name] = len(text), None, text.splitlines(keepends=True), name
        exec(compile(text, name, "exec"), scope)
        return meaning(Model(scope["net"]))

    first = cell("WIDTH = 8\ndef net():\n    return WIDTH\n")
    assert first["name"].startswith("function __main__:net ")
    assert cell("WIDTH = 8\n\ndef net():\n    return WIDTH  # as before\n") == first
    assert cell("WIDTH = 64\ndef net():\n    return WIDTH\n") != first
    assert cell("WIDTH = 8\ndef net():\n    return 2 * WIDTH\n") != first


def test_a_library_counts_by_its_names() -> None:
    assert meaning(Model(functools.reduce))["name"].startswith("function _functools:reduce ")
    assert meaning(Model(functools.partial(functools.reduce, max))) != meaning(
        Model(functools.partial(functools.reduce))
    )


def test_a_stated_version_takes_the_sources_place(tmp_path: Path) -> None:
    load(tmp_path, HELPERS, "helpers")
    module = load(tmp_path, BASE)
    stated = meaning(Model(module.mlp(8), version="1"))
    assert stated == meaning(Model(module.mlp(64), version="1"))
    assert stated["name"] == "function mine:mlp.<locals>.inner"
    assert stated != meaning(Model(module.mlp(8), version="2"))
    assert stated != meaning(Model(module.mlp(8)))


def test_what_no_key_can_tell_is_refused(tmp_path: Path) -> None:
    load(tmp_path, HELPERS, "helpers")
    module = load(tmp_path, BASE)
    with pytest.raises(ConfigError, match=r"Model\.name = locked: locked refers to lock: a lock.*version='1'"):
        meaning(Model(module.locked))
    with pytest.raises(ConfigError, match=r"Train\.step = locked.*version='1'"):
        meaning(Train(steps(1), lr=0.1, step=module.locked))
    assert meaning(Model(module.locked, version="1"))["version"] == "1"
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec("def net(): return 1", scope)
    with pytest.raises(ConfigError, match="its source is not at hand"):
        meaning(Model(scope["net"]))


def test_a_file_that_was_edited_after_it_was_loaded_is_no_source(tmp_path: Path) -> None:
    load(tmp_path, HELPERS, "helpers")
    module = load(tmp_path, BASE)
    path = Path(str(module.__file__))
    path.write_text(path.read_text().replace("helper(width)", "3 * helper(width)"))
    with pytest.raises(ConfigError, match="has changed since it was loaded"):
        meaning(Model(module.net))


def test_a_settled_function_goes_elsewhere_with_its_key(tmp_path: Path) -> None:
    """To a process that has neither its module nor its source."""
    (tmp_path / "script.py").write_text(
        "import sys, cloudpickle\nfrom lth_ray.config import Model, meaning, settled\n"
        "def mlp(width):\n    return lambda n: n * width\n"
        "model = settled(Model(mlp(8), options={'act': len}))\n"
        "open(sys.argv[1], 'wb').write(cloudpickle.dumps((model, meaning(model))))\n"
    )
    root = str(Path(__file__).parents[2])
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "sent")]
    subprocess.run(command, check=True, env={"PYTHONPATH": root, "PATH": ""})
    (tmp_path / "script.py").unlink()
    model, key = cloudpickle.loads((tmp_path / "sent").read_bytes())
    assert meaning(model) == key
    assert model.name(3) == 24
    restored = restore(declaration(model))
    assert meaning(restored) == key
    with pytest.raises(ConfigError, match="<lambda> lives in the study's script"):
        restored.name(3)


def test_settling_fixes_what_it_is_now(tmp_path: Path) -> None:
    load(tmp_path, HELPERS, "helpers")
    module = load(tmp_path, BASE)
    model = Model(module.net)
    before, fixed = meaning(model), settled(model)
    module.DEPTH = 7
    assert meaning(fixed) == before != meaning(model)
    assert settled(Model("conv2")) == Model("conv2")
