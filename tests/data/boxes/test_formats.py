"""Three formats of files are one data set: its digest, its lists, its boxes and pixels."""

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lth_ray.config import Boxes, ConfigError
from lth_ray.data.boxes import PictureBatches, identify, load
from tests.data.boxes.made import CONTENT, WRITERS, as_coco, as_voc, as_yolo, picture


def boxes(place: Path, kind: str = "voc", **given: Any) -> Boxes:
    fields: dict[str, Any] = {"batch_size": 2, "validation": "own", "image_size": 48, **given}
    return Boxes(f"{kind}:{place}", **fields)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: write(tmp_path_factory.mktemp(kind) / "set") for kind, write in WRITERS.items()}


def test_three_formats_of_the_same_boxes_are_one_data_set(places: dict[str, Path]) -> None:
    found = {kind: identify(boxes(place, kind)) for kind, place in places.items()}
    assert found["voc"] == found["coco"] == found["yolo"]
    assert (found["voc"].n_train, found["voc"].n_validation, found["voc"].n_test) == (4, 2, 1)
    assert (found["voc"].input_shape, found["voc"].num_classes) == ((3, 48, 48), 3)
    sets = [load(boxes(place, kind)) for kind, place in places.items()]
    for other in sets[1:]:
        for ours, theirs in zip(sets[0].train.tensors, other.train.tensors, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_images_come_in_the_order_of_their_names_with_all_of_their_boxes(places: dict[str, Path]) -> None:
    found = load(boxes(places["voc"]))
    assert found.classes == ("circle", "square")
    assert found.train.counts.tolist() == [1, 2, 1, 0]  # a, b, c, empty
    # VOC's pixel 3 to 12 is what lies between the edges 2 and 12
    assert found.train.boxes[1].tolist() == [[19, 9, 48, 32], [2, 3, 12, 13]]
    assert found.train.labels.tolist() == [[1, 0], [1, 2], [2, 0], [0, 0]]
    wanted = torch.tensor(np.asarray(picture("b", CONTENT["train"]["b"])).copy())
    assert torch.equal(found.train.images[1, :, :32], wanted.permute(2, 0, 1))
    assert not found.train.images[:, :, 32:].any()  # what is missing of the square is black


def test_boxes_are_resized_as_their_images_are(places: dict[str, Path]) -> None:
    fitted, stretched = load(boxes(places["voc"], image_size=24)), load(boxes(places["voc"], resize="stretch"))
    assert fitted.train.boxes[1, 0].tolist() == [9.5, 4.5, 24, 16]
    assert stretched.train.boxes[1, 0].tolist() == [19, 13.5, 48, 48]


def test_a_number_of_validation_images_is_drawn_from_both_lists(places: dict[str, Path]) -> None:
    drawn, again = (load(boxes(places["voc"], validation=2, split_seed=seed)) for seed in (0, 0))
    assert (len(drawn.train), len(drawn.validation or ()), len(drawn.test)) == (4, 2, 1)
    assert drawn.validation is not None
    assert again.validation is not None
    assert torch.equal(drawn.validation.images, again.validation.images)
    assert len(load(boxes(places["voc"], validation=0)).train) == 6
    fewer, more = (load(boxes(places["voc"], validation=0, train_images=n)).train for n in (2, 3))
    shown = {image.numpy().tobytes() for image in more.images}
    assert all(image.numpy().tobytes() in shown for image in fewer.images)


def test_a_set_without_a_test_list_is_tested_on_its_validation_list(tmp_path: Path) -> None:
    place = as_coco(tmp_path / "set", {name: CONTENT[name] for name in ("train", "val")})
    found = identify(boxes(place, "coco", validation=1))
    assert (found.n_train, found.n_validation, found.n_test) == (3, 1, 2)
    with pytest.raises(ConfigError, match=r"Boxes.validation = 'own': the set has no validation list beside"):
        identify(boxes(place, "coco"))


def test_only_what_is_in_the_files_counts(places: dict[str, Path], tmp_path: Path) -> None:
    place = as_voc(tmp_path / "elsewhere")
    known = identify(boxes(places["voc"])).digest
    assert identify(boxes(place)).digest == known
    text = (place / "Annotations/d.xml").read_text()
    (place / "Annotations/d.xml").write_text(text.replace("<xmin>11<", "<xmin>12<"))
    moved = boxes(tmp_path / "elsewhere/../elsewhere")  # by another name, as files are read once
    assert identify(moved).digest != known


def test_flips_are_drawn_by_the_augmentation_seed_and_take_boxes_along(places: dict[str, Path]) -> None:
    pictures = load(boxes(places["voc"])).train
    plain, flipped = (PictureBatches(pictures, 4, 1, 2, augment) for augment in ("none", "flip"))
    seen = set()
    for step in range(4):
        images, corners, labels, counts = plain.batch(step)
        mirrored, others, same, equal = flipped.batch(step)
        assert torch.equal(labels, same)
        assert torch.equal(counts, equal)
        for i in range(4):
            turned = torch.equal(mirrored[i], images[i].flip(2)) and not torch.equal(mirrored[i], images[i])
            wanted = corners[i].clone()
            if turned:
                n = int((labels[i] != 0).sum())
                wanted[:n, 0], wanted[:n, 2] = 48 - corners[i, :n, 2], 48 - corners[i, :n, 0]
            seen.add(turned)
            assert torch.equal(others[i], wanted)
    assert seen == {True, False}


def test_a_part_of_a_batch_is_that_of_the_whole(places: dict[str, Path]) -> None:
    pictures = load(boxes(places["voc"])).train
    whole = PictureBatches(pictures, 4, 1, 2, "flip").batch(3)
    halves = [PictureBatches(pictures, 4, 1, 2, "flip", range(i, i + 2)).batch(3) for i in (0, 2)]
    for tensor, parts in zip(whole, zip(*halves, strict=True), strict=True):
        assert torch.equal(tensor, torch.cat(parts))


def test_what_is_passed_over_stays_and_is_marked(tmp_path: Path) -> None:
    place = as_coco(tmp_path / "set")
    path = place / "annotations/instances_train2026.json"
    held = json.loads(path.read_text())
    held["annotations"][0]["iscrowd"] = 1  # the circle of b
    held["annotations"].append({"id": 99, "image_id": 1, "category_id": 4, "bbox": [5, 5, 0, 9]})  # of a
    path.write_text(json.dumps(held))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = load(boxes(place, "coco")).train
    assert [str(one.message) for one in told if "no area" in str(one.message)] == [
        f"Boxes.name = 'coco:{place}': 1 boxes have no area, the first in {path}, image 1; they are neither trained on "
        "nor judged by"
    ]
    assert found.labels.tolist() == [[1, -2], [2, -1], [2, 0], [0, 0]]
    assert found.counts.tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize("kind", WRITERS)
def test_a_missing_image_is_named_with_what_names_it(kind: str, tmp_path: Path) -> None:
    place = WRITERS[kind](tmp_path / "set")
    image = next(place.rglob("b.png"))
    image.unlink()
    with pytest.raises(ConfigError, match=r"b\.(png|xml|txt|jpg)") as error:
        identify(boxes(place, kind))
    assert str(image) in str(error.value) or (kind == "yolo" and str(image.parent) in str(error.value))


def test_a_box_outside_its_image_is_refused_by_file(tmp_path: Path) -> None:
    for kind, place in {"voc": as_voc(tmp_path / "v"), "yolo": as_yolo(tmp_path / "y")}.items():
        if kind == "voc":
            path = place / "Annotations/d.xml"
            path.write_text(path.read_text().replace("<xmax>30<", "<xmax>60<"))
            where = f"{path}: the box 10, 1, 60, 19 of a 'circle' lies outside its image of 48x32 pixels; mend it"
        else:
            path = place / "labels/test/d.txt"
            path.write_text("1 0.9 0.5 0.5 0.5\n")
            where = f"{path}: the box 31.2, 8, 55.2, 24 of a 'circle' lies outside its image of 48x32 pixels; mend it"
        with pytest.raises(ConfigError) as error:
            identify(boxes(place, kind))
        assert where in str(error.value)


def said(**parts: Any) -> str:
    """A list of COCO's with these parts."""
    return json.dumps({"images": [], "annotations": [], "categories": [{"id": 7, "name": "circle"}], **parts})


def changed(place: Path, file: str, text: str) -> Path:
    (place / file).write_text(text)
    return place / file


@pytest.mark.parametrize(
    ("kind", "file", "text", "why"),
    [
        ("voc", "Annotations/a.xml", "<annotation><object>", "is not a readable XML file"),
        ("voc", "Annotations/a.xml", "", "is not a readable XML file"),
        ("voc", "Annotations/a.xml", "<html></html>", "is a <html>, no <annotation>"),
        ("voc", "ImageSets/Main/train.txt", "a\nnowhere\n", "names 'nowhere', and there is no"),
        ("voc", "ImageSets/Main/train.txt", "", "its list 'train' has no images"),
        ("voc", "ImageSets/Main/train.txt", "empty\n", "images to train on have no boxes at all"),
        ("voc", "ImageSets/Main/test.txt", "", "its list 'test' has no images"),
        ("yolo", "data.yaml", "names: [square, circle]\ntest: labels/train/empty.txt", "its list 'test' has no images"),
        (
            "coco",
            "annotations/instances_test2026.json",
            '{"images": [], "annotations": [], "categories": []}',
            "its list 'test' has no images",
        ),
        ("coco", "annotations/instances_train2026.json", "{", "is not a readable JSON file"),
        ("coco", "annotations/instances_train2026.json", "[]", "lacks the lists"),
        ("coco", "annotations/instances_train2026.json", said(images=[{"id": [1]}]), "'id' is [1]"),
        ("coco", "annotations/instances_train2026.json", said(categories=[{"id": {}, "name": "a"}]), "'id' is {}"),
        ("coco", "annotations/instances_train2026.json", said(annotations=[{"image_id": []}]), "'image_id' is []"),
        (
            "coco",
            "annotations/instances_train2026.json",
            said(images=[{"id": 1, "file_name": "a.png"}], annotations=[{"image_id": 1, "category_id": [7]}]),
            "annotation 0: 'category_id' is [7]",
        ),
        ("voc", "Annotations/a.xml", "<annotation><size><width>nan</width></size></annotation>", "<width> is 'nan'"),
        ("voc", "Annotations/a.xml", "<annotation><size><width>inf</width></size></annotation>", "<width> is 'inf'"),
        ("yolo", "labels/train/a.txt", "0 0.5 0.5\n", "line 1: is '0 0.5 0.5'"),
        ("yolo", "labels/train/a.txt", "7 0.5 0.5 0.1 0.1\n", "is of the unknown class 7"),
        ("yolo", "labels/train/a.txt", "0 nan 0.5 0.1 0.1\n", "has coordinates that are no numbers"),
        ("yolo", "labels/train/a.txt", "0 0.5 0.5 -0.1 0.1\n", "ends before it begins"),
        ("yolo", "labels/train/other.txt", "0 0.5 0.5 0.1 0.1\n", "its image is not in"),
        ("yolo", "data.yaml", "names: {", "is not a readable YAML file"),
        ("yolo", "data.yaml", "nc: 2", "has no 'names' of classes"),
    ],
)
def test_bad_files_are_named(kind: str, file: str, text: str, why: str, tmp_path: Path) -> None:
    place = WRITERS[kind](tmp_path / "set")
    path = changed(place, file, text)
    with pytest.raises(ConfigError) as error:
        identify(boxes(place, kind))
    assert why in str(error.value)
    assert str(path if "no boxes" not in why and "has no images" not in why else place) in str(error.value)


def test_an_unknown_class_is_named_with_its_file(tmp_path: Path) -> None:
    place = as_voc(tmp_path / "set")
    path = place / "Annotations/d.xml"
    path.write_text(path.read_text().replace("circle", "triangle"))
    with pytest.raises(ConfigError, match="has a box of the unknown class 'triangle'; the classes are circle, square"):
        identify(boxes(place))
    assert identify(boxes(place, classes=["square", "triangle", "circle"])).num_classes == 4
    with pytest.raises(ConfigError, match=r"a\.xml: has a box of the unknown class 'circle'"):
        identify(boxes(place, classes=["square"]))
    place = as_coco(tmp_path / "coco")
    path = place / "annotations/instances_val2026.json"
    path.write_text(path.read_text().replace('"category_id": 7', '"category_id": 8'))
    with pytest.raises(ConfigError, match=r"instances_val2026.json, annotation 1: is of the unknown class 8"):
        identify(boxes(place, "coco"))


def test_an_image_of_another_size_than_was_annotated_is_refused(tmp_path: Path) -> None:
    place = as_voc(tmp_path / "set")
    picture("a", []).resize((24, 16)).save(place / "JPEGImages/a.png")
    with pytest.raises(ConfigError, match=r"a.png has 48x32 pixels, and it has 24x16"):
        identify(boxes(place))


def test_a_declaration_is_checked_as_it_is_made(tmp_path: Path) -> None:
    for given, why in {
        "cifar10": "give voc:PATH, coco:PATH or yolo:PATH",
        "voc:": "give voc:PATH, coco:PATH or yolo:PATH",
    }.items():
        with pytest.raises(ConfigError, match=why):
            Boxes(given, batch_size=2, validation=0, image_size=64)
    with pytest.raises(ConfigError, match=r"Boxes.validation = 'val': give a whole number of at least 0, or 'own'"):
        boxes(tmp_path, validation="val")
    with pytest.raises(ConfigError, match="there is no folder"):
        identify(boxes(tmp_path / "nowhere"))
    place = as_voc(tmp_path / "set")
    with pytest.raises(ConfigError, match=r"Boxes.validation = 6: there are 6 images to train on; give fewer"):
        identify(boxes(place, validation=6))
    with pytest.raises(ConfigError, match=r"Boxes.train_images = 5: there are 4 images to train on"):
        identify(boxes(place, train_images=5))
    assert replace(boxes(place), classes=["b", "a"]).classes == ("a", "b")


BCCD = Path(__file__).parents[4] / "shared/data/bccd"


@pytest.mark.skipif(not BCCD.is_dir(), reason="the images of blood cells are not there")
def test_blood_cells_are_all_there() -> None:
    found = load(boxes(BCCD, image_size=32))
    parts = [found.train, found.test] + ([found.validation] if found.validation else [])
    assert sorted(map(len, parts)) == [72, 87, 205]
    assert sum(int(part.counts.sum()) for part in parts) == 4888
    assert found.classes == ("Platelets", "RBC", "WBC")
