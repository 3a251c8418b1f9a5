"""How early can a Transformer language model be rewound, and still hide a matching ticket?

The question of Frankle et al. 2020a and Yu et al. 2019, asked of a pre-norm Transformer that learns to foretell
WikiText-103, in 16,000 byte pairs: tickets by iterative magnitude pruning, rewound to several points, against masks
that are found at once (one-shot) or before training (SNIP), random masks of the same layer densities and random
reinitialisations; and the error barrier between copies that part at the rewind point. OTHERWISE says where this is not
a paper's experiment.
"""

from lth_ray import Barrier, Model, Prune, RandomMask, RandomReinit, Study, Text, Train, main, steps

OTHERWISE = [
    "Yu et al. prune Transformers that translate; this one foretells text, and is no experiment of theirs.",
    "Barriers are those of the log-perplexity, in nats; 2 % is no bound for them.",
]
COMPARED = [3, 6, 10, 14]  # rounds: 51, 26, 11 and 4 % of the weights

study = Study(
    "transformer-language",
    model=Model("transformer_lm_6_512"),
    data=Text("wikitext103", batch_size=64, window=256, level="bpe", vocabulary=16_000, order="shuffled"),
    train=Train(
        steps(50_000),
        optimizer="adamw",
        lr=5e-4,
        betas=(0.9, 0.98),
        weight_decay=0.01,
        clip_norm=1.0,
        warmup=steps(2_000),
        schedule="cosine",
        evaluate_every=steps(2_500),
        precision="bf16",
    ),
    prune=Prune(scope="global", fraction=0.2, rounds=14),
    rewind=[steps(0), steps(1_000), steps(5_000)],
    seeds=[0, 1, 2],
    arms={
        "iterative": {
            "branches": [
                RandomMask(rounds=COMPARED),
                RandomReinit(rounds=COMPARED),
                Barrier(children=2, points=11, rounds=[0, *COMPARED]),
            ]
        },
        "one_shot": {"prune.one_shot": True},
        "snip": {
            "prune": Prune("snip", at=steps(0), remaining=[0.512, 0.262, 0.107, 0.044], whole_dense=True),
            "rewind": [steps(0)],
        },
    },
    margin=0.5,
    otherwise=OTHERWISE,
    smoke={
        "model": Model("transformer_lm_2_64_4", options={"dropout": 0.0}),
        "data": Text(
            "text:brown", batch_size=32, window=32, vocabulary=2000, min_count=2, order="shuffled", validation=10_000,
            test=10_000,
        ),
        "train.length": steps(200),
        "train.lr": 3e-3,
        "train.warmup": steps(20),
        "train.evaluate_every": steps(50),
        "train.precision": "fp32",
        "prune.fraction": 0.6,
        "prune.rounds": 2,
        "rewind": [steps(20)],
        "seeds": [0],
        "arms": {
            "iterative": {
                "branches": [
                    RandomMask(rounds=[2]),
                    RandomReinit(rounds=[2]),
                    Barrier(children=2, points=5, rounds=[0, 2]),
                ]
            },
            "one_shot": {"prune.one_shot": True},
            "snip": {
                "prune": Prune("snip", at=steps(0), remaining=[0.4, 0.16], whole_dense=True),
                "rewind": [steps(0)],
            },
        },
    },
)  # fmt: skip

if __name__ == "__main__":
    main(study)
