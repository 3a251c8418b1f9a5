"""Bad values of the fields of tasks other than images, and how their messages begin what they say."""

from collections.abc import Callable
from typing import Any

from lth_ray.config import Boxes, Environment, Sentences, Table, Text, Translation

Make = Callable[..., Any]


def table(**given: Any) -> Table:
    return Table(**{"name": "diabetes", "batch_size": 32, "validation": 60, "test": 60, **given})


def sentences(**given: Any) -> Sentences:
    given = {"name": "polarity", "batch_size": 32, "validation": 60, "test": 60, "length": 64, **given}
    return Sentences(**{"tokenizer": "bert", **given})


def text(**given: Any) -> Text:
    return Text(**{"name": "wikitext2", "batch_size": 4, "window": 8, **given})


def translation(**given: Any) -> Translation:
    sides = {"source": "en", "target": "de", "tokens": 100, "vocabulary": 500}
    return Translation(**{"name": "multi30k", "batch_size": 4, "validation": 0, **sides, **given})


def boxes(**given: Any) -> Boxes:
    return Boxes(**{"name": "voc:cells", "batch_size": 4, "validation": 0, "image_size": 64, **given})


def environment(**given: Any) -> Environment:
    return Environment(**{"name": "CartPole-v1", "envs": 4, "horizon": 8, **given})


BAD_TASKS: list[tuple[Make, str, Any, str]] = [
    (table, "name", 3, "give diabetes, csv:PATH"),
    (table, "target", 3, "give a column's name"),
    (table, "batch_size", 0, "at least 1"),
    (table, "validation", -1, "at least 0"),
    (table, "test", 1, "at least 2"),
    (table, "score", "r3", "did you mean r2"),
    (table, "split_seed", -1, "at least 0"),
    (sentences, "name", 3, "give a data set's name"),
    (sentences, "tokenizer", None, "give the path of a Hugging Face folder"),
    (sentences, "length", 2, "at least 3"),
    (sentences, "columns", ["a", "b", "c"], "give one column, or two"),
    (sentences, "target", 3, "give a column's name"),
    (sentences, "batch_size", 0, "at least 1"),
    (sentences, "validation", -1, "at least 0"),
    (sentences, "test", 0, "at least 1"),
    (sentences, "tested_on", 3, "give the name of a part"),
    (sentences, "score", "r3", "did you mean r2"),
    (sentences, "split_seed", -1, "at least 0"),
    (text, "name", 3, "give a text's name"),
    (text, "batch_size", 0, "at least 1"),
    (text, "window", 0, "at least 1"),
    (text, "level", "words", "did you mean word"),
    (text, "vocabulary", 2, "at least 3"),
    (text, "tokenizer", 3, "give the path of a Hugging Face folder"),
    (text, "min_count", 0, "at least 1"),
    (text, "order", "random", "valid: contiguous, shuffled"),
    (text, "validation", -1, "at least 0"),
    (text, "test", 0, "at least 1"),
    (text, "column", 3, "give a column's name"),
    (translation, "name", 3, "give a set's name"),
    (translation, "source", 3, "give the ending of a language's files"),
    (translation, "target", 3, "give the ending of a language's files"),
    (translation, "batch_size", 0, "at least 1"),
    (translation, "tokens", 0, "at least 1"),
    (translation, "vocabulary", 1, "at least 259"),
    (translation, "bucket", 0, "at least 1"),
    (translation, "max_length", 0, "at least 2"),
    (translation, "beam", 0, "at least 1"),
    (translation, "length_penalty", -1, "give a number in [0, inf]"),
    (translation, "coverage_penalty", -1, "give a number in [0, inf]"),
    (translation, "validation", -1, "at least 0"),
    (translation, "evaluation_pairs", 0, "at least 1"),
    (boxes, "name", 3, "give voc:PATH, coco:PATH, yolo:PATH"),
    (boxes, "batch_size", 0, "at least 1"),
    (boxes, "image_size", 0, "at least 16"),
    (boxes, "resize", "fits", "did you mean fit"),
    (boxes, "augment", "flips", "did you mean flip"),
    (boxes, "classes", ["a", ""], "a class has no name"),
    (boxes, "score", "map5", "did you mean map50 or map"),
    (boxes, "validation", -1, "or 'own' for the set's own validation list"),
    (boxes, "train_images", 0, "at least 1"),
    (boxes, "evaluation_images", 0, "at least 1"),
    (boxes, "split_seed", -1, "at least 0"),
    (environment, "name", 3, "give the name of one of gymnasium's environments"),
    (environment, "envs", 0, "at least 1"),
    (environment, "horizon", 0, "at least 1"),
    (environment, "longest", 0, "at least 1"),
    (environment, "options", [1], "give a dict"),
    (environment, "discount", 2, "give a number in [0, 1]"),
    (environment, "entropy_weight", -1, "give a number in [0, inf]"),
    (environment, "value_weight", -1, "give a number in [0, inf]"),
    (environment, "reward_scale", 0, "give a number in (0, inf]"),
    (environment, "reward_clip", 0, "give a number in (0, inf]"),
    (environment, "life_ends", 1, "give True or False"),
    (environment, "games", 1, "at least 2"),
    (environment, "validation", -1, "at least 0"),
    (environment, "evaluation", "greed", "did you mean greedy"),
    (environment, "evaluation_seed", -1, "at least 0"),
    (environment, "scores", [1.0], "give two different returns"),
    (environment, "version", 2, "give a string"),
]
