"""Are there winning tickets in networks that learn to play Atari's games from their pictures?

Yu et al. 2019, section 4: nine games, learned by A2C. A fifth of all weights and biases is pruned in each of 20 rounds,
globally, and what is left is rewound to the end of the first twentieth of training; beside it are its masks on new
weights, and random masks. Frames are preprocessed as is usual, rewards cut to +-1, and the loss of a life ends a
return. So that one margin does for all, returns are told on the scale from a random policy (0) to a person (1) of Mnih
et al. 2015. What is otherwise than in the paper is listed in OTHERWISE.
"""

from typing import Any

from lth_ray import Environment, Model, Prune, RandomMask, RandomReinit, Study, Train, main, steps

OTHERWISE = [
    "The network is that of Mnih et al. 2015, and Adam's rate, the weights of the loss and the length of training are "
    "those that A2C is usually run with: the paper does not print them.",
    "An epoch is a twentieth of training.",
]
SCORES = {  # of a random policy and of a person
    "Assault": (222.4, 742.0),
    "Berzerk": (123.7, 2630.4),
    "Breakout": (1.7, 30.5),
    "Centipede": (2090.9, 12017.0),
    "Kangaroo": (52.0, 3035.0),
    "Krull": (1598.0, 2665.5),
    "Qbert": (163.9, 13455.0),
    "Seaquest": (68.4, 42054.7),
    "SpaceInvaders": (148.0, 1668.7),
}
LENGTH = 125_000  # steps, of 80 choices each: 10 million choices, 40 million frames
COMPARED = [4, 8, 12, 16, 20]


def playing(game: str, **changed: Any) -> Environment:
    """Return one game."""
    given: dict[str, Any] = {"envs": 16, "horizon": 5, "games": 30, "evaluation": "sampled"}
    return Environment(f"ALE/{game}-v5", reward_clip=1.0, life_ends=True, scores=SCORES[game], **(given | changed))


study = Study(
    "atari-tickets",
    model=Model("atari_policy"),
    data=playing("Breakout"),
    train=Train(steps(LENGTH), optimizer="adam", lr=7e-4, clip_norm=0.5, evaluate_every=steps(LENGTH // 20)),
    prune=Prune("magnitude", scope="global", fraction=0.2, rounds=20, include=["*.weight", "*.bias"]),
    rewind=[steps(LENGTH // 20)],
    seeds=[0, 1, 2],
    arms={game.lower(): {"data": playing(game)} for game in SCORES},
    branches=[RandomReinit(rounds=COMPARED), RandomMask(rounds=COMPARED, branches=[RandomReinit()])],
    margin=0.1,
    otherwise=OTHERWISE,
    smoke={
        "model.name": "atari_policy_8",
        "train.length": steps(40),
        "train.evaluate_every": steps(20),
        "prune.rounds": 1,
        "rewind": [steps(2)],
        "seeds": [0],
        "arms": {"breakout": {"data": playing("Breakout", envs=4, games=2, longest=150)}},
        "branches": [RandomReinit(), RandomMask()],
    },
    smoke_shows="pipeline",
)

if __name__ == "__main__":
    main(study)
