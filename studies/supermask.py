"""How good is a network whose weights are never trained, under a well chosen mask?

Zhou et al. 2019, section 5, on FC (Lenet-300-100) and Conv-2, Conv-4, Conv-6. Masks that each criterion finds in the
trained network, once to the density of each of 24 rounds, on initial weights and on their signed constants; masks
that are learned, with and without signed constants and dynamic weight rescaling; edge-popup (Ramanujan et al. 2020).
A criterion's own tickets are rewound to the end: they keep their trained values and cost no training.
"""

from typing import Any

from lth_ray import Data, Model, Perturb, Prune, Study, Supermask, Train, epochs, main, steps

SCORES = [
    "large_final", "small_final", "large_init", "small_init", "large_init_large_final", "small_init_small_final",
    "magnitude_increase", "movement",
]  # fmt: skip
CRITERIA = [
    *SCORES, *(f"{score}_{sign}_sign" for score in SCORES for sign in ("same", "diff")), "snip", "grad", "random",
]  # fmt: skip
UNTRAINED = [
    Perturb("rewound", at=steps(0), trained=False),
    Perturb("constant", signs="init", at=steps(0), trained=False),
]
VALUES = ["init", "signed_constant"]
FC = {"fc*.weight": 0.2, "output.weight": 0.1}
LEARNING_RATES = {"lenet": 100.0, "conv2": 100.0, "conv4": 50.0, "conv6": 20.0}


def bernoulli(lr: float, variants: list[tuple[bool, str]], **changes: Any) -> list[Supermask]:
    """Return learned masks; FC's recipe is the authors' example, the convolutional networks' are from memory.

    variants: (rescale, values) of each.
    """
    train = {"length": epochs(2000), "optimizer": "sgd", "lr": lr, "momentum": 0.9, "evaluate_every": epochs(10)}
    return [Supermask("bernoulli", rescale=r, values=v, train=train | changes) for r, v in variants]


def edge_popup(variants: list[tuple[float, str]], **changes: Any) -> list[Supermask]:
    """Return edge-popup masks, by the recipe of Ramanujan et al.'s code on CIFAR-10.

    variants: (keep, values) of each.
    """
    recipe = {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4, "schedule": "cosine"}
    train = {"length": epochs(100), "evaluate_every": epochs(1), **recipe}
    return [Supermask("edge_popup", keep=k, values=v, train=train | changes) for k, v in variants]


def arms(
    criteria: list[str], learned: list[Supermask], popup: list[Supermask], **changes: Any
) -> dict[str, dict[str, Any]]:
    """Return masks by each criterion, and masks learned from step 0 on, with the batch sizes of the two
    papers.
    """
    from_init = {"rewind": [steps(0)], "prune.rounds": 0}
    return {
        **{criterion: {"prune.criterion": criterion, "branches": UNTRAINED} for criterion in criteria},
        "learned": {**from_init, "data.batch_size": 250, "branches": learned, **changes},
        "edge_popup": {**from_init, "data.batch_size": 128, "model.init": "kaiming", "branches": popup, **changes},
    }


BERNOULLI = [(rescale, values) for rescale in (False, True) for values in VALUES]
EDGE_POPUP = [(keep, values) for keep in (0.3, 0.5, 0.7) for values in VALUES]


def supermask(
    network: str, data: str, length: int, fraction: dict[str, float], lr: float, smoke: dict[str, Any]
) -> Study:
    mask_lr = LEARNING_RATES[network.partition("_")[0]]
    return Study(
        f"supermask-{network.partition('_')[0]}",
        model=Model(network, init="glorot"),
        data=Data(data, batch_size=60, validation=5000),
        train=Train(epochs(length), optimizer="adam", lr=lr, evaluate_every=steps(100)),
        prune=Prune("large_final", scope="layer", fraction=fraction, rounds=24, ties="random", one_shot=True),
        rewind=[epochs(length)],
        seeds=[0, 1, 2, 3, 4],
        arms=arms(CRITERIA, bernoulli(mask_lr, BERNOULLI), edge_popup(EDGE_POPUP)),
        smoke={"data.evaluation_images": 1000, "seeds": [0], "prune.rounds": 1, **smoke},
        may_fail=CRITERIA,  # their tickets are the trained network's weights, pruned and not trained on
    )


def shortened(
    network: str,
    length: int,
    criteria: list[str],
    bernoullis: list[tuple[bool, str]],
    popups: list[tuple[float, str]],
    learner: str = "",
) -> dict[str, Any]:
    """Return --smoke's changes: masks are learned in a wider network, `learner`.

    In deep ones there are only those masks that the papers end up with.
    """
    short = {"length": steps(length), "evaluate_every": steps(length)}
    learned = bernoulli(LEARNING_RATES[network.partition("_")[0]], bernoullis, **short)
    smaller = {"data.batch_size": 60, "model.name": learner or network}
    return {
        "model.name": network,
        "train.length": steps(length),
        "train.evaluate_every": steps(length),
        "rewind": [steps(length)],
        "prune.fraction": 0.5,
        "may_fail": criteria,
        "arms": arms(criteria, learned, edge_popup(popups, **short), **smaller),
    }


def on_cifar10(depth: int, length: int, lr: float, conv_fraction: float, smoke: dict[str, Any]) -> Study:
    fraction = {"conv*.weight": conv_fraction, **FC}
    return supermask(f"conv{depth}", "cifar10", length, fraction, lr, smoke | {"train.lr": 2e-3})


ALL: dict[str, Any] = {"bernoullis": BERNOULLI, "popups": EDGE_POPUP}
BEST: dict[str, Any] = {"bernoullis": BERNOULLI[-1:], "popups": [(0.5, "signed_constant")]}
studies = [
    supermask("lenet_300_100", "mnist", 55, FC, 1.2e-3, shortened("lenet_300_100", 300, CRITERIA, **ALL)),
    on_cifar10(2, 27, 2e-4, 0.10, shortened("conv2_8", 140, CRITERIA, BERNOULLI, EDGE_POPUP[2:4], "conv2_32")),
    on_cifar10(4, 34, 3e-4, 0.10, shortened("conv4_8", 150, CRITERIA[:2], **BEST)),
    on_cifar10(6, 40, 3e-4, 0.15, shortened("conv6_8", 200, CRITERIA[:2], **BEST)),
]

if __name__ == "__main__":
    main(studies)
