"""Makes the figures and the numbers of docs/gallery.md again.

`make gallery STORAGE=DIR DATA_ROOT=DIR` runs what is left of every study's --smoke in STORAGE, draws its figure into
docs/gallery/, and writes the caption's numbers and the table of costs into the page. On two cores the runs take an
hour in all; a finished one is only drawn. ImageNet's studies have no figure: minutes on a small machine show no more
than that they run.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from io import BytesIO
from pathlib import Path

import click
from PIL import Image

from lth_ray import Launch, Results, Study, run
from lth_ray.config import launched
from lth_ray.lottery import make_plan
from lth_ray.lottery.branch_tree import other_data
from lth_ray.lottery.pieces import Training
from lth_ray.record import report
from lth_ray.running.assumed import KNOWN, apart
from lth_ray.running.estimate import estimate
from lth_ray.running.planning import shortened
from lth_ray.store import Store, study_path
from lth_ray.watching.snapshot import duration

DOCS = Path(__file__).resolve().parents[1]
PAGE = DOCS / "gallery.md"
STUDIES = DOCS.parent / "studies"
LARGEST_BYTES = 80_000
SIZES = ((1200, 256), (1000, 256), (900, 256), (900, 64), (800, 64), (700, 64), (600, 64))  # pixels, colours
PLAYED = ("arms={'iterative': {}}", "prune.fraction=0.36", "prune.rounds=10", "train.schedule=linear", "data.games=50")
SMOKE = "--smoke"
# picture: (which study, which figure, whether --smoke shortens it, or what --set does, after --smoke where it is named)
PICTURES: dict[str, tuple[str, str, bool | tuple[str, ...]]] = {
    "control_tickets": (
        "control-cartpole", "return",
        (*PLAYED, "seeds=[0, 1, 2, 3, 4]", "train.length=steps(800)", "train.lr=0.001",
         "train.evaluate_every=steps(400)", "rewind=[steps(40)]"),
    ),
    "control_acrobot": (
        "control-acrobot", "return",
        (*PLAYED, "seeds=[0, 1, 2]", "train.length=steps(500)", "train.lr=0.0004", "train.evaluate_every=steps(250)",
         "rewind=[steps(25)]"),
    ),
    "digits": ("digits", "accuracy", False),
    "conv_cifar10": ("conv2-cifar10", "accuracy", True),
    "resnet20_cifar10": ("resnet20-cifar10", "accuracy", True),
    "vgg19_cifar10": ("vgg19-cifar10", "accuracy", True),
    "lenet_ablations": ("lenet-ablations-anatomy", "surviving", True),
    "deconstructing": ("deconstructing-mnist", "accuracy", True),
    "supermask": ("supermask-conv4", "accuracy", True),
    "early_phase": ("early-phase", "accuracy", True),
    "linear_mode_connectivity": ("lmc-lenet", "instability", True),
    "round_connectivity": (
        "rounds-lenet", "rounds",
        ("seeds=[0, 1, 2]", "train.length=steps(6000)", "data.evaluation_images=5000"),
    ),
    "stability": ("stability-lenet", "stability", True),
    "retraining": ("retraining-resnet20", "retraining", True),
    "warmup_rewind_sweep": ("warmup-rewind-resnet20", "instability", True),
    "cheap_tickets": ("cheap-tickets", "costs", True),
    "early_bird": ("early-bird-vgg16", "mask_distances", True),
    "warm_start": (
        "warm-start", "accuracy",
        (SMOKE, "seeds=[0, 1, 2, 3, 4]", "train.length=epochs(16)", "train.evaluate_every=epochs(16)"),
    ),
    "transfer_datasets": ("transfer-datasets-vgg19", "transfer_matrix", (SMOKE, "seeds=[0, 1, 2]")),
    "lstm_brown": ("lstm-brown", "perplexity", False),
    "translation_wmt": (
        "language-transformer-base", "bleu",
        (SMOKE, "seeds=[0, 1, 2]", "train.length=steps(400)", "train.evaluate_every=steps(400)",
         "train.warmup=steps(40)", "rewind=[steps(40)]", "prune.fraction=0.6", "prune.rounds=2",
         "data.validation=0", "data.evaluation_pairs=300"),
    ),
    "bert_tickets": (
        "bert-tickets", "accuracy", (SMOKE, "seeds=[0, 1, 2]", "prune.rounds=2", "data.test=1000"),
    ),
}  # fmt: skip


SCRIPTS = {"control_acrobot": "control_tickets"}  # of pictures that are not called by theirs


def declared(script: str) -> list[Study]:
    """Return the studies of a script."""
    spec = spec_from_file_location(script, STUDIES / f"{script}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return [module.study] if hasattr(module, "study") else list(module.studies)


def small_png(image: Image.Image) -> bytes:
    """Return a PNG of at most LARGEST_BYTES, where that takes no more than the last of SIZES."""
    for width, colours in SIZES:
        size = width, round(image.height * width / image.width)
        narrow = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        file = BytesIO()
        # An octree keeps the few pixels of a thin line their own colour; cutting by the median lends them another.
        few = narrow.quantize(colours, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        few.save(file, "PNG", optimize=True)
        if len(file.getvalue()) <= LARGEST_BYTES:
            break
    return file.getvalue()


def put(page: str, name: str, text: str) -> str:
    """Return the page with `text` between the comments that mark `name`."""
    marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- / -->)", re.DOTALL)
    assert marked.search(page), f"docs/gallery.md has no <!-- {name} -->"
    return marked.sub(lambda found: f"{found[1]}{text}\n{found[2]}", page)


def draw(script: str, launch: Launch) -> str:
    """Run what is left of a study and draw its figure; return its caption."""
    name, figure, how = PICTURES[script]
    study = next(study for study in declared(SCRIPTS.get(script, script)) if study.name == name)
    launch = replace(launch, smoke=how is True or (isinstance(how, tuple) and how[0] == SMOKE))
    if isinstance(how, tuple):
        sets = tuple(one for one in how if one != SMOKE)
        launch = replace(launch, smoke=SMOKE in how, set=sets, name=f"{name}-short")
    done, store = launched(study, launch), Store.open(launch.storage)
    plan = make_plan(done, launch.data_root, store)
    results = run(study, launch) if plan.jobs else Results(plan, store)
    report(results.plan, store)
    image = Image.open(BytesIO(store.get(study_path(done.name, f"{figure}.png"))))
    (DOCS / "gallery" / f"{script}.png").write_bytes(small_png(image))
    return caption(study, done, results, how)


def caption(study: Study, done: Study, results: Results, shorter: bool | tuple[str, ...]) -> str:
    """Return what was run: n, how it was shortened, where and how long, from the record alone."""
    tickets, branches = results.tickets(), results.branches()
    trained = [frame for frame in (tickets, branches) if not frame.empty]
    seconds = sum(float(frame.drop_duplicates("key")["seconds"].sum()) for frame in trained)
    count = sum(int(frame.drop_duplicates("key")["train_steps"].gt(0).sum()) for frame in trained)
    seeds = len(done.seeds)
    how = f"`--smoke` shortens `{study.name}`: {shortened(study)}" if shorter else f"`{study.name}` in full"
    if isinstance(shorter, tuple):
        sets = ", ".join(one for one in shorter if one != SMOKE)
        how = f"`--set` shortens `{study.name}`: {sets}"
        if SMOKE in shorter:
            how = f"`--smoke` shortens `{study.name}`: {shortened(study)}; and `--set`: {sets}"
    n = f"n = {seeds} seed{'s' if seeds > 1 else ''}"
    devices = ", ".join(sorted(set(tickets["device"])))
    return f"*{how}. {n}; {count:,} trainings, {duration(seconds)} of one core in all, on {devices}.*"


def costs(data_root: str | None) -> Iterator[tuple[str, ...]]:
    """Return the cost of each study, unshortened and alone: what --plan says of one seed, times their number.

    Seeds share nothing, but where they are crossed, which is planned as a whole. Timed in processor time, whatever else
    is running.
    """
    for script in sorted(path.stem for path in STUDIES.glob("*.py")):
        for study in declared(script):
            data = (study.data, *other_data(study.branches, study.data))
            seeds, times = apart(study)
            known = {one: KNOWN[one.called] for one in data if one.called in KNOWN} or None
            large = known is not None
            plan = make_plan(replace(study, seeds=seeds), data_root, None, known)
            trainings = {piece.segment.key for job in plan.jobs for piece in job.pieces if isinstance(piece, Training)}
            counts = (len(plan.lineages), len(trainings), plan.unique_steps, plan.branch_steps, plan.naive_steps)
            told = ["not timed", ""]
            if not large:
                cost = estimate(plan, data_root, Launch(), cores=1)
                told = [
                    duration(times * cost.core_hours * 3600 / 2),
                    f"{float(f'{times * cost.state_bytes / 1e9:.2g}'):g}",
                ]
            yield (f"`{script}.py`", f"`{study.name}`", *(f"{times * count:,}" for count in counts), *told)


HEAD = (
    "script", "study", "lineages", "trainings", "steps", "of which branches", "steps without sharing",
    "on 2 cores", "GB",
)  # fmt: skip


@click.command(help=__doc__)
@click.argument("storage")
@click.argument("scripts", nargs=-1)
@click.option("--data-root", help="Where MNIST and CIFAR-10 are, or are downloaded to.")
@click.option("--cpus", type=int, help="Cores to run on; by default all.")
@click.option("--no-costs", is_flag=True, help="Leave the table of costs as it is.")
@click.option("--no-figures", is_flag=True, help="Leave the figures as they are.")
def main(
    storage: str, scripts: tuple[str, ...], data_root: str | None, cpus: int | None, no_costs: bool, no_figures: bool
) -> None:
    launch = Launch(storage, data_root=data_root, cpus=cpus)
    for script in [] if no_figures else scripts or PICTURES:
        told = draw(script, launch)
        PAGE.write_text(put(PAGE.read_text(), f"run {script}", told))
    if not no_costs:
        lines = [HEAD, ("---",) * len(HEAD), *costs(data_root)]
        rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        PAGE.write_text(put(PAGE.read_text(), "costs", rows))


if __name__ == "__main__":
    main()
