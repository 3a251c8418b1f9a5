"""Do translators have winning tickets, and how should pruned ones be retrained?

Yu et al. 2019, section on language: Transformer base and big, English to German, pruned globally over everything and
rewound to step 1,000, against random tickets. Renda, Frankle & Carbin 2020: GNMT, retrained by weight rewinding,
learning-rate rewinding and fine-tuning, for every retraining time. What is otherwise than in the papers or in the
authors' code is listed in OTHERWISE: a comparison with their numbers says "not comparable".

The sets are not fetched. Their folders, wmt14 and wmt16, have train.en and train.de, newstest2013 and newstest2014, one
sentence a line, as the shared tasks publish them; `--smoke` translates Multi30k's captions.
"""

from typing import Any

from lth_ray import Model, Prune, RandomMask, RandomReinit, Rewind, Study, Train, Translation, main, steps

METHODS = ("weights", "learning_rate", "fine_tune")
EPOCH = 863  # steps of the authors' GNMT, of whom 10 are trained
TIMES = range(1, 11)  # t, in these
OTHERWISE = [
    "Tokens are those of a byte-level encoding of sentences as they are, not of words that were cut before; BLEU is "
    "sacrebleu's, of sentences as they are.",
    "A batch is a number of tokens, of sentences of like length, filled up ones among them.",
]


def transformer(size: str, peak: float, dropout: float, smoke: dict[str, Any]) -> Study:
    return Study(
        f"language-transformer-{size}",
        model=Model(f"transformer_{size}", options={"dropout": dropout}),
        data=Translation(
            "wmt14", vocabulary=37_000, tokens=3584, batch_size=8, max_length=128, validation=3000, beam=4
        ),
        train=Train(
            steps(50_000),
            optimizer="adam",
            lr=peak,
            betas=(0.9, 0.98),
            eps=1e-9,
            schedule="inverse_sqrt",
            warmup=steps(4000),
            label_smoothing=0.1,
            evaluate_every=steps(5000),
            batch_norm_group=1,
        ),
        prune=Prune(scope="global", fraction=0.2, rounds=20, include=["*"]),
        rewind=[steps(1000)],
        seeds=[0, 1, 2],
        branches=[RandomMask(), RandomReinit()],
        smoke={
            "model.options": {"dropout": 0.0, "norm": "pre"},
            **SMALL,
            "train.lr": 5e-3,
            "train.betas": (0.9, 0.98),
            "train.warmup": steps(30),
            "prune.fraction": 0.5,
            "prune.rounds": 1,
            "rewind": [steps(20)],
            **smoke,
        },
        otherwise=[
            *OTHERWISE,
            "Weights are those of the last step, and no mean of several.",
            "Normalisations' scales are pruned with the biases.",
        ],
    )


SMALL = {
    "data.name": "multi30k",
    "data.vocabulary": 1000,
    "data.tokens": 1500,
    "data.batch_size": 1,
    "data.max_length": 40,
    "data.validation": 200,
    "data.evaluation_pairs": 200,
    "data.beam": 1,
    "train.length": steps(200),
    "train.evaluate_every": steps(200),
    "train.batch_norm_group": None,
    "seeds": [0],
}

gnmt = Study(
    "retraining-gnmt",
    model=Model("gnmt"),
    data=Translation(
        "wmt16",
        vocabulary=32_000,
        tokens=3584,
        batch_size=16,
        max_length=49,
        validation=3000,
        beam=5,
        length_penalty=0.6,
        coverage_penalty=0.1,
    ),
    train=Train(
        steps(10 * EPOCH),
        optimizer="adam",
        lr=2e-3,
        warmup=steps(200),
        milestones=[steps(6472), steps(7191), steps(7910)],
        gamma=0.5,
        label_smoothing=0.1,
        clip_norm=5.0,
        evaluate_every=steps(EPOCH),
        batch_norm_group=1,
    ),
    prune=Prune(scope="global", fraction=0.2, rounds=26, include=["*"]),
    rewind=[Rewind(steps((10 - t) * EPOCH), method=method, optimizer="restored") for method in METHODS for t in TIMES],
    seeds=[0, 1, 2],
    arms={"iterative": {}, "one_shot": {"prune.one_shot": True}},
    keep="rewind",
    smoke={
        "model.name": "gnmt_2_64",
        "model.options": {"dropout": 0.0, "tied": True},
        "model.init": 0.15,
        **SMALL,
        "data.vocabulary": 600,
        "data.tokens": 600,
        "data.coverage_penalty": 0.0,
        "train.lr": 1e-2,
        "train.warmup": steps(20),
        "train.length": steps(400),
        "train.evaluate_every": steps(400),
        "train.milestones": [steps(150), steps(250), steps(350)],
        "train.gamma": 0.3,
        "prune.fraction": 0.5,
        "prune.rounds": 1,
        "rewind": [Rewind(steps(250), method=method, optimizer="restored") for method in METHODS],
        "arms": {"iterative": {}},
    },
    otherwise=[
        *OTHERWISE,
        "A batch has as many tokens as 2,048 pairs have, filled up ones among them, and no 2,048 pairs.",
        "The warm-up is linear, and no power.",
        "The last step is not at half of the rate of the step before.",
    ],
)

studies = [
    transformer("base", 7e-4, 0.1, {"model.name": "transformer_2_64"}),
    transformer("big", 4.9e-4, 0.3, {"model.name": "transformer_1_96", "branches": [], "data.length_penalty": 1.0}),
    gnmt,
]

if __name__ == "__main__":
    main(studies)
