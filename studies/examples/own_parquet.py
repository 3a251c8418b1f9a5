"""Does a data set of the Hugging Face Hub hide matching tickets? Its Parquet files, and a network by its name.

beans/ (under the working directory or --data-root) is AI-Lab-Makerere/beans as the Hub has it: data/train-*.parquet,
data/validation-*.parquet and data/test-*.parquet, with a column `labels`.
"""

from lth_ray import Data, Model, Prune, RandomMask, Study, Train, epochs, main

study = Study(
    "own-parquet",
    model=Model("conv2"),
    data=Data("parquet:beans", batch_size=32, validation=100, image_size=32, augment="flip"),
    train=Train(epochs(20), optimizer="adam", lr=1e-3, evaluate_every=epochs(1)),
    prune=Prune(fraction=0.2, rounds=8),
    rewind=[epochs(0), epochs(1)],
    seeds=[0, 1, 2],
    branches=[RandomMask()],
)

if __name__ == "__main__":
    main(study)
