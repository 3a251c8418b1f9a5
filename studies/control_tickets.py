"""Are there winning tickets in networks that learn to act?

Yu et al. 2019, section 4: A2C on CartPole, Acrobot and LunarLander. A fifth of all weights and biases is pruned in each
of 20 rounds, globally, and what is left is rewound to the start of training or to the end of its first twentieth, the
paper's first epoch. Tickets are compared with their masks on new weights, with random masks on the ticket's weights,
and with random tickets, random masks on new weights. CartPole's games are cut off after 200 steps, as those of
CartPole-v0 were. Networks are judged by the mean return of 100 games with seeds of their own, in which they take the
most probable action; the mean of the last 100 games of training, by which the paper goes, is `train_return` in the
curves. What is otherwise than in the paper is listed in OTHERWISE.
"""

from typing import Any

from lth_ray import Barrier, Environment, Model, Prune, RandomMask, RandomReinit, Study, Train, main, steps

OTHERWISE = [
    "An epoch is a twentieth of a fixed number of steps, and not 160, 320 or 640 games.",
    "The policy and the value share all layers but their heads; how the paper's networks are built is not printed.",
    "Discount, weights of the loss, norm of the gradient and smoothing of RMSprop are those that A2C is usually run "
    "with, and rewards are scaled by .05: the paper does not print them.",
]
COMPARED = [4, 8, 10, 12, 16, 20]  # rounds whose tickets are compared with random subnetworks
CONTROLS = [RandomReinit(rounds=COMPARED), RandomMask(rounds=COMPARED, branches=[RandomReinit()])]


def control(
    name: str, environment: str, network: str, length: int, margin: float, smoke: dict[str, Any], longest: int
) -> Study:
    """Return the study of one environment, whose games are cut off after `longest` steps.

    margin: of a matching verdict, in returns.
    """
    return Study(
        f"control-{name}",
        model=Model(network),
        data=Environment(environment, envs=32, horizon=4, longest=longest, reward_scale=0.05, games=100),
        train=Train(
            steps(length), optimizer="rmsprop", lr=1e-4, eps=1e-5, clip_norm=0.5, evaluate_every=steps(length // 20)
        ),
        prune=Prune("magnitude", scope="global", fraction=0.2, rounds=20, include=["*.weight", "*.bias"]),
        rewind=[steps(0), steps(length // 20)],
        seeds=[0, 1, 2, 3, 4],
        branches=CONTROLS,
        arms={
            "iterative": {"branches": [*CONTROLS, Barrier(children=2, points=11, rounds=[0, 8, 16])]},
            "one_shot": {"prune.one_shot": True, "branches": []},
        },
        margin=margin,
        otherwise=OTHERWISE,
        smoke={
            "data.games": 20,
            "train.lr": 1e-3,
            "train.schedule": "linear",
            "prune.fraction": 0.8,
            "prune.rounds": 1,
            "seeds": [0],
            "arms": {
                "iterative": {"branches": [RandomReinit(rounds=[1]), Barrier(children=2, points=5, rounds=[1])]},
                "one_shot": {"prune.one_shot": True, "branches": []},
            },
            **smoke,
        },
        smoke_shows="learning" if name == "cartpole" else "pipeline",
    )


def cut_to(length: int) -> dict[str, Any]:
    """Return a smoke run's length, and what goes with it."""
    return {"train.length": steps(length), "train.evaluate_every": steps(length // 4), "rewind": [steps(length // 20)]}


studies = [
    control("cartpole", "CartPole-v1", "policy_128_128_128", 5_000, 10.0, cut_to(800), 200),
    control("acrobot", "Acrobot-v1", "policy_256_256_256", 8_000, 10.0, cut_to(200) | {"data.games": 5}, 500),
    control(
        "lunar-lander", "LunarLander-v3", "policy_256_256_256", 30_000, 20.0, cut_to(200) | {"data.games": 5}, 1_000
    ),
]

if __name__ == "__main__":
    main(studies)
