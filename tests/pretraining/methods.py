"""Setting in which pretrainers are tested on digits: encoders that are poor without training, views, sizes."""

import keras
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tf_kit import pretraining, regularization
from tf_kit.training.representation import represent

DENSE = keras.layers.Dense
EPOCHS, BATCH_SIZE, LEARNING_RATE = 15, 128, 0.003
VIEWS = regularization.compose(
    regularization.RandomRotation(10),
    regularization.RandomResizedCrop((0.6, 1.0)),
    regularization.AddNoise(0.1),
)
JOINT = {
    "SimCLR": pretraining.SimCLR,
    "BYOL": pretraining.BYOL,
    "SimSiam": pretraining.SimSiam,
    "NNCLR": pretraining.NNCLR,
    "SupCon": pretraining.SupCon,
    "BarlowTwins": pretraining.BarlowTwins,
    "VICReg": pretraining.VICReg,
    "LeJEPA": pretraining.LeJEPA,
    "DINO": pretraining.DINO,
}


def dense_encoder(seed=0, units=128, width=16):
    """Encoder of images with one hidden layer and batch normalization, to `width` features."""
    first, second = (keras.initializers.GlorotUniform(10 * seed + k) for k in (1, 2))
    return keras.Sequential(
        [
            keras.layers.Flatten(),
            DENSE(units, use_bias=False, kernel_initializer=first),
            regularization.BatchNorm(),
            keras.layers.Activation("relu"),
            DENSE(width, kernel_initializer=second),
        ]
    )


def patch_encoder(seed=0):
    return pretraining.PatchEncoder(patch_size=2, width=32, depth=2, seed=seed)


def probe_accuracy(encoder, train, val):
    """Accuracy on `val` of logistic regression, fitted to the standardized representations of `train`."""
    scaled = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    scaled.fit(represent(encoder, train.x), train.y)
    return scaled.score(represent(encoder, val.x), val.y)
