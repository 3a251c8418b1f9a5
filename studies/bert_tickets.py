"""Does a pretrained encoder hold tickets for a task, and do its pretrained weights matter to them?

Chen et al. 2020, section 4.1: BERT is fine-tuned on a task, the smallest weights of its linear layers are pruned, those
of the classifier and the embeddings apart, and what is left is rewound to the *pretrained* weights: step 0 of every
lineage. Controls keep as many weights of each layer at random, or are drawn anew and not pretrained; one-shot masks
come from one fine-tuning, and `pretrained` ones from the pretrained weights alone. Here the task is sentence polarity
(Pang & Lee 2005) and the encoder a folder of Hugging Face's form in --data-root, `minilm` (sentence-transformers'
all-MiniLM-L6-v2, six layers) or another, with GLUE's tasks in the Parquet layout of Hugging Face:

    python studies/bert_tickets.py --set model.name=hf:bert-base-uncased --set data.tokenizer=bert-base-uncased \\
        --set data.name=parquet:glue/mrpc --set 'data.columns=["sentence1", "sentence2"]' --set data.test=None \\
        --set data.tested_on=validation

What is otherwise than in the paper is listed in OTHERWISE: a comparison with its numbers says "not comparable".
"""

from lth_ray import Model, Prune, RandomMask, RandomReinit, Sentences, Study, Train, epochs, main, steps

OTHERWISE = [
    "Each round prunes a fifth of what remains, and not a tenth of all weights.",
    "The encoder has six layers and was trained on for sentence embeddings; the task is none of GLUE's.",
]
CONTROLS = [RandomMask(), RandomReinit()]

study = Study(
    "bert-tickets",
    model=Model("hf:minilm"),
    data=Sentences("polarity", tokenizer="minilm", length=64, batch_size=32, validation=1000, test=1000),
    train=Train(
        epochs(3), optimizer="adamw", lr=2e-5, eps=1e-8, schedule="linear", clip_norm=1.0, evaluate_every=epochs(0.5)
    ),
    prune=Prune("magnitude", scope="global", fraction=0.2, rounds=10, exclude=["classifier.*"]),
    rewind=[steps(0)],
    seeds=[0, 1, 2, 3, 4],
    arms={
        "imp": {"branches": CONTROLS},
        "one_shot": {"prune.one_shot": True},
        "pretrained": {"prune.one_shot": True, "prune.at": steps(0), "prune.whole_dense": True},
    },
    otherwise=OTHERWISE,
    smoke={
        "data.length": 32,
        "data.batch_size": 16,
        "data.validation": 0,
        "data.test": 400,
        "train.length": steps(60),
        "train.lr": 2e-4,
        "train.warmup": steps(10),
        "train.evaluate_every": steps(60),
        "prune.rounds": 1,
        "prune.fraction": 0.3,
        "seeds": [0],
        "arms": {
            "imp": {"branches": [RandomMask()]},
            "pretrained": {"prune.one_shot": True, "prune.at": steps(0), "prune.whole_dense": True},
        },
    },
)

if __name__ == "__main__":
    main(study)
