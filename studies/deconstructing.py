"""What makes a winning ticket: which weights it keeps, what becomes of the others, or the values it starts from?

Zhou et al. 2019 on FC (Lenet-300-100) and Conv-2, Conv-4, Conv-6. Section 2: which weights are kept, by scores of
initial and final values. Section 3: what pruned weights are frozen at. Section 4: what kept weights start from, with
or without the signs of their initial values. The paper does what an arm names before every round's training, so that
masks come from networks treated alike; `large_final` is the ticket, with its untrained accuracy (section 5).
"""

from typing import Any

from lth_ray import Data, Model, Perturb, Perturbation, Prune, Rewind, Study, Train, epochs, main, steps

SCORES = [
    "large_final", "small_final", "large_init", "small_init", "large_init_large_final", "small_init_small_final",
    "magnitude_increase", "movement",
]  # fmt: skip
CRITERIA = [*SCORES, *(f"{score}_{sign}_sign" for score in SCORES for sign in ("same", "diff")), "snip", "grad"]
PRUNED = {
    "frozen_at_init": Perturbation(pruned="init"),
    "frozen_if_grown": Perturbation(pruned="grown"),
    "frozen_if_grown_kept_alike": Perturbation("grown", pruned="grown"),
    "frozen_if_shrunk": Perturbation(pruned="shrunk"),
    "frozen_if_shrunk_kept_alike": Perturbation("shrunk", pruned="shrunk"),
}
KEPT = {
    f"{name}{'_same_sign' if signs == 'init' else ''}": Perturbation(weights, signs=signs)
    for name, weights in {"reinit": "redrawn", "reshuffle": "shuffle_layer", "constant": "constant"}.items()
    for signs in ("own", "init")
}
UNTRAINED = [Perturb(trained=False), Perturb("constant", signs="init", trained=False)]
ARMS: dict[str, dict[str, Any]] = {
    "large_final": {"branches": UNTRAINED},
    **{criterion: {"prune.criterion": criterion} for criterion in [*CRITERIA[1:], "random"]},
    **{name: {"rewind": [Rewind(steps(0), perturbation=rule)]} for name, rule in (PRUNED | KEPT).items()},
}
# Short trainings do not make up for these.
HARMFUL = ["small_final", "grad", "frozen_if_shrunk", "frozen_if_shrunk_kept_alike"]


def deconstructing(name: str, prune: Prune, smoke: dict[str, Any], **parts: Any) -> Study:
    return Study(
        name,
        prune=prune,
        rewind=[steps(0)],
        seeds=[0, 1, 2, 3, 4],
        arms=ARMS,
        smoke={"data.evaluation_images": 1000, "seeds": [0], "prune.rounds": 1, **smoke},
        may_fail=HARMFUL,
        **parts,
    )


def on_cifar10(depth: int, length: int, lr: float, conv_fraction: float, short: dict[str, Any]) -> Study:
    fraction = {"conv*.weight": conv_fraction, "fc*.weight": 0.2, "output.weight": 0.1}
    smoke = {
        "model.name": f"conv{depth}_8",
        "train.length": steps(120),
        "train.lr": 2e-3,
        "train.evaluate_every": steps(120),
        "prune.fraction": {"conv*.weight": 0.3, "fc*.weight": 0.5, "output.weight": 0.3},
    }
    return deconstructing(
        f"deconstructing-cifar10-conv{depth}",
        Prune("large_final", scope="layer", fraction=fraction, rounds=24, ties="random"),
        smoke | short,
        model=Model(f"conv{depth}", init="glorot"),
        data=Data("cifar10", batch_size=60, validation=5000),
        train=Train(epochs(length), optimizer="adam", lr=lr, evaluate_every=steps(100)),
    )


def deeper(length: int) -> dict[str, Any]:
    """Return what --smoke shortens in deep networks.

    They learn slowly: it has few of the arms that it tries in full on FC and Conv-2.
    """
    few = ["large_final", "small_final", "frozen_at_init", "constant_same_sign"]
    return {"train.length": steps(length), "may_fail": ["small_final"], "arms": {name: ARMS[name] for name in few}}


fc = deconstructing(
    "deconstructing-mnist",
    Prune("large_final", scope="layer", fraction={"fc*.weight": 0.2, "output.weight": 0.1}, rounds=24, ties="random"),
    {
        "train.length": steps(200),
        "train.evaluate_every": steps(200),
        "prune.rounds": 2,
        "prune.fraction": {"fc*.weight": 0.7, "output.weight": 0.5},
    },
    model=Model("lenet_300_100", init="glorot"),
    data=Data("mnist", batch_size=60, validation=5000),
    train=Train(epochs(55), optimizer="adam", lr=1.2e-3, evaluate_every=steps(100)),
)
studies = [
    fc,
    on_cifar10(2, 27, 2e-4, 0.10, {}),
    on_cifar10(4, 34, 3e-4, 0.10, deeper(160)),
    on_cifar10(6, 40, 3e-4, 0.15, deeper(200)),
]

if __name__ == "__main__":
    main(studies)
