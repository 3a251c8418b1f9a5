"""Every block is in the table, every command has the form that its program takes, and links lead somewhere."""

import re
from pathlib import Path

import pytest

from tests.docs import forms
from tests.docs.blocks import DOCUMENTS, GENERATED, ROOT, Block, blocks, inline, read
from tests.docs.table import SHOWN, TABLE
from tests.repository import files, has

WRITTEN = [document for document in DOCUMENTS if document != GENERATED]
SHELL = ("", "bash", "sh")
# Files that a reader or a report makes, and those of an image set.
MADE = {
    "build/bench.json", "classes.txt", "extended.py", "my_model.py", "report.md", "signs.py", "lth_ray/pruning/lamp.py",
    "lth_ray/lottery/branches/other_order.py", "lth_ray/tasks/absolute.py", "lth_ray/tasks/brier.py",
}  # fmt: skip


def kinds(document: str) -> list[str]:
    return [kind.name for _, kind in TABLE[document]]


def commands(document: str) -> list[str]:
    """The lines of a document's shell blocks."""
    listed = zip(blocks(document), kinds(document), strict=True)
    return [
        line for block, kind in listed if block.language in SHELL and kind not in ("shown", "printed")
        for line in block.lines
    ]  # fmt: skip


@pytest.mark.parametrize("document", WRITTEN)
def test_every_block_is_in_the_table(document: str) -> None:
    assert document in TABLE, f"tests/docs/table.py does not know {document}"
    found, known = [block.first for block in blocks(document)], [first for first, _ in TABLE[document]]
    assert len(found) == len(known), f"{document} has {len(found)} blocks, the table {len(known)}: {found}"
    for block, first in zip(found, known, strict=True):
        assert block.startswith(first), f"{document}: the table expects {first!r}, the block begins {block!r}"


def test_the_tests_that_run_blocks_are_there() -> None:
    named = {kind.by for rows in TABLE.values() for _, kind in rows if kind.name == "by"}
    written = "\n".join(path.read_text() for path in files("tests/**", "test_*.py"))
    assert {test for test in named if f"def {test}(" not in written} == set()


@pytest.mark.parametrize("document", WRITTEN)
def test_every_command_has_the_form_that_its_program_takes(document: str) -> None:
    faults = []
    for line in commands(document):
        try:
            forms.check(line)
        except forms.MalformedError as fault:
            faults.append(str(fault))
    for line in inline(document):
        if line.split()[0] in forms.PROGRAMS and line.split()[1:]:
            try:
                forms.check(line, whole=False)
            except forms.MalformedError as fault:
                faults.append(str(fault))
    assert not faults, "\n".join(faults)


def test_images_of_imagenet_are_decoded_by_loaders_where_a_study_is_given_gpus() -> None:
    """Without loaders such a study is refused (lth_ray.running.planning)."""
    packed = {path.stem for path in files("studies", "*.py") if 'Data("imagenet"' in path.read_text()}
    given = [
        line for document in WRITTEN for line in commands(document)
        if "--gpus-per-worker" in line and any(f"{name}.py" in line for name in packed)
    ]  # fmt: skip
    assert len(given) >= 6
    assert [line for line in given if "--loaders" not in line] == []


@pytest.mark.parametrize(
    "faulty",
    [
        "ray up --yess cluster/ray-aws.yaml", "ray job submit --adress http://HEAD:8265 -- python studies/digits.py",
        "ray jobs list", "ray job", "lth-ray statsu NAME", "lth-ray report", "lth-ray report NAME --against papers",
        "lth-ray gc --grace-s soon", "python studies/digit.py", "python studies/digits.py --smok", "make tets",
        "python studies/digits.py --workers two", "python -m lth_ray data verify", "make gallery STORE=x",
        "ray job submit --address http://HEAD:8265 -- python studies/digits.py --seeds 3", "ls", "python -m benchmark",
        "sbatch cluster/slurm.sbatch studies/digits.py --worker 8", "lth-ray run digit", "mlflow ui --backend sqlite:///x.db",
    ],
)  # fmt: skip
def test_a_faulty_command_is_found(faulty: str) -> None:
    with pytest.raises(forms.MalformedError):
        forms.check(faulty)


def anchors(path: Path) -> set[str]:
    """Return what a link's # may name: the headings, as GitHub spells them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    here = (ROOT / document).parent
    for target in re.findall(r"\]\(([^)]+)\)", read(document)):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        path = (here / name) if name else ROOT / document
        assert has(path), f"{document} links {target}"
        assert not anchor or anchor in anchors(path), f"{document} links {target}: no such heading"


@pytest.mark.parametrize("document", WRITTEN)
def test_paths_in_the_text_exist(document: str) -> None:
    """`file.py` is somewhere in the repository, and `folder/file.py`, where the folder is ours, is there."""
    folders = ("benchmarks", "cluster", "lth_ray", "studies")
    names = {path.name for folder in folders for path in files(f"{folder}/**")}
    roots = (ROOT, (ROOT / document).parent, ROOT / "lth_ray")
    for word in set(inline(document)) - MADE:
        first, slash, _ = word.partition("/")
        if re.fullmatch(r"[\w-]+\.(?:py|md|yaml|sbatch|toml|txt|sh)", word):
            assert word in names or has(ROOT / word), f"{document}: there is no {word}"
        elif slash and re.fullmatch(r"\w[\w./-]*", word) and any(has(root / first) for root in roots):
            assert any(has(root / word) for root in roots), f"{document}: there is no {word}"


def test_pictures_are_small() -> None:
    for path in files("docs/gallery", "*.png"):
        assert path.stat().st_size < 80_000, path.name


TRANSLATED = {
    "README.zh.md": "README.md",
    "docs/concepts.zh.md": "docs/concepts.md",
    "docs/tutorial.zh.md": "docs/tutorial.md",
}


@pytest.mark.parametrize("document", TRANSLATED)
def test_a_translation_has_the_same_structure_commands_and_numbers(document: str) -> None:
    def bare(block: Block) -> list[str]:
        return [re.sub(r"\s*#.*", "", line) for line in block.text.splitlines()]

    pair = TRANSLATED[document], document
    shown = [kind == SHOWN for _, kind in TABLE[pair[0]]]  # drawings have words in them
    english, chinese = (
        [bare(block) for block, drawn in zip(blocks(name), shown, strict=True) if not drawn] for name in pair
    )
    assert chinese == english
    headings, rows = ([len(re.findall(mark, read(name), re.MULTILINE)) for name in pair] for mark in (r"^#+ ", r"^\|"))
    assert (headings[0], rows[0]) == (headings[1], rows[1])
    first, second = (set(inline(name)) for name in pair)
    assert first == second, first ^ second
    numbers = [set(re.findall(r"\d[\d,.]*\d", read(name))) for name in pair]
    assert numbers[0] == numbers[1], numbers[0] ^ numbers[1]
