"""A study of a tiny encoder on sentences, which tests change."""

from lth_ray.config import Model, Prune, Sentences, Study, Train, steps

STUDY = Study(
    "tiny-bert",
    model=Model("hf:bert"),
    data=Sentences("csv:films.csv", tokenizer="hf:bert", length=10, batch_size=8, validation=16, test=24),
    train=Train(steps(12), optimizer="adamw", lr=2e-3, schedule="linear", warmup=steps(2), evaluate_every=steps(6)),
    prune=Prune(fraction=0.5, rounds=1, exclude=["classifier.*"]),
    rewind=[steps(0)],
    seeds=[0],
)
