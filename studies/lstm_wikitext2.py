"""Are there winning tickets in an LSTM language model, and does it take late rewinding to find them?

Yu et al. 2019, language modelling: a two-layer LSTM of width 650 on WikiText-2, read in windows of 50 words, 10 epochs
of Adam. Everything is pruned together, embeddings, recurrent and output weights and biases, 20 % a round; tickets
rewound to initialisation and to epoch 1, iterative and one-shot, beside random masks of the same layer densities and
random reinitialisations. The paper's tickets are as good as the dense network with a tenth of the weights. OTHERWISE
names what differs.
"""

from lth_ray import Model, Prune, RandomMask, RandomReinit, Study, Text, Train, epochs, main, steps

OTHERWISE = [
    "An epoch begins at a word of the text that is drawn by the seed, and goes around it once.",
    "The test part is read in 32 rows, with the state carried along each.",
    "The paper draws mask and weights of a random ticket together; here each has a control of its own.",
    "Gradients are clipped to a norm of .25, which the paper does not speak of.",
]

study = Study(
    "language-lstm-wikitext2",
    model=Model("lstm_lm_2_650", options={"dropout": 0.5}),
    data=Text("wikitext2", batch_size=30, window=50),
    train=Train(epochs(10), optimizer="adam", lr=1e-3, clip_norm=0.25, evaluate_every=epochs(0.5)),
    prune=Prune(scope="global", fraction=0.2, rounds=20, include=["*"]),
    rewind=[epochs(0), epochs(1)],
    seeds=[0, 1, 2],
    arms={
        "iterative": {"branches": [RandomMask(), RandomReinit()]},
        "one_shot": {"prune.one_shot": True},
    },
    margin=1.0,
    otherwise=OTHERWISE,
    smoke={
        "model": Model("lstm_lm_2_64", options={"dropout": 0.2}),
        "data": Text(
            "text:brown", batch_size=32, window=30, vocabulary=2000, min_count=2, validation=20_000, test=20_000
        ),
        "train.length": steps(250),
        "train.lr": 5e-3,
        "train.evaluate_every": steps(50),
        "prune.fraction": 0.5,
        "prune.rounds": 2,
        "rewind": [steps(0), steps(25)],
        "seeds": [0],
    },
)

if __name__ == "__main__":
    main(study)
