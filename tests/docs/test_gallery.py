"""docs/gallery.md has of every study its question, its command, a figure with a caption or a reason, and its costs."""

import re
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from tests.docs.blocks import loaded, read
from tests.repository import files

SCRIPTS = sorted(path.stem for path in files("studies", "*.py"))
PAGE = read("docs/gallery.md")


@pytest.fixture(scope="module")
def gallery() -> Any:
    return loaded("gallery")


def section(script: str) -> str:
    found = re.search(rf"^### {script}\.py$(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, f"docs/gallery.md has no section on {script}.py"
    return found[1]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_study_has_its_question_command_and_figure(script: str, gallery: Any) -> None:
    text = section(script)
    assert re.search(r"\*[A-Z][^*]+\?\*", text)
    assert re.search(r"(?:&|al\.)\s.*?\b20\d\d", text, re.DOTALL), "no paper"
    assert f"python studies/{script}.py" in text
    if script in gallery.PICTURES:
        assert f"(gallery/{script}.png)" in text
        assert re.search(r"n = \d+ seeds?; [\d,]+ trainings, .+ on \w+", text), "no caption: run `make gallery`"
    else:
        assert "No figure" in text or f"(reproductions/{script}/accuracy.png)" in text
    declared = {study.name for study in gallery.declared(script)}
    assert declared <= set(re.findall(rf"^\| `{script}\.py` \| `([\w-]+)` \|", PAGE, re.MULTILINE)), "no costs"


COLOURS = [(0, 114, 178), (0, 158, 115), (213, 94, 0), (86, 180, 233)]


def test_pictures_keep_the_colours_of_thin_lines(gallery: Any) -> None:
    image = Image.new("RGB", (1200, 500), "white")
    for number, colour in enumerate(COLOURS):
        image.paste(colour, (0, 100 + 50 * number, 1200, 103 + 50 * number))
    made = gallery.small_png(image)
    small = Image.open(BytesIO(made)).convert("RGB")
    found = [colour for _, colour in small.getcolors(256) or []]
    assert len(made) < gallery.LARGEST_BYTES
    assert small.width == gallery.SIZES[0][0]
    for colour in COLOURS:
        assert any(max(abs(a - b) for a, b in zip(colour, other, strict=True)) <= 8 for other in found), colour


def test_a_picture_that_is_too_large_is_narrowed(gallery: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "SIZES", ((300, 256), (200, 256), (100, 64)))
    noise = Image.effect_noise((300, 200), 30)
    monkeypatch.setattr(gallery, "LARGEST_BYTES", 1000)
    assert Image.open(BytesIO(gallery.small_png(noise))).width == 100


def test_only_what_is_marked_is_replaced(gallery: Any) -> None:
    page = "a\n<!-- run x -->\nold\n<!-- / -->\nb\n<!-- run y -->\nold\n<!-- / -->\n"
    assert gallery.put(page, "run x", r"new \1") == page.replace("old", r"new \1", 1)
    with pytest.raises(AssertionError, match="run z"):
        gallery.put(page, "run z", "new")
