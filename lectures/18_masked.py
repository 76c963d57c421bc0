# %%
"""How well does a model fill in hidden pixels, and which mask ratio gives the best probe?

Pixels of an image are hidden and must be predicted from the rest; no label is needed. To fill in what a few strokes
have lost, an encoder has to know what digits look like. With nearly all pixels hidden, nothing is left to infer them
from.

Claim: trained with half of the pixels hidden, the model fills in hidden pixels with less than two thirds of the error
of the mean image. The error grows once more pixels are hidden than in training. A linear probe on its encoder is well
above a probe on the untrained encoder. The optimum is broad but has an end: hiding 99 % teaches less than the best
ratio, by two points of the probe or more.

Slide: "Unsupervised Pretraining": masked pretraining, mask a part and predict it.
Reference: He, Chen, Xie, Li, Dollár, Girshick 2022, "Masked Autoencoders Are Scalable Vision Learners", figure 5,
arXiv:2111.06377.
"""

import dataclasses

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tf_kit import lectures, plotting
from tf_kit.lectures.words import enumerated
from tf_kit.pretraining import MaskedVectors
from tf_kit.regularization import BatchNorm

TITLE = "Mask and predict"
SECONDS = 80
RATIOS = (0.05, 0.5, 0.75, 0.95, 0.99)


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("mnist or digits", "Data set; of several, the first that is prepared.")
    examples: int = lectures.option(2000, "Largest number of images to learn from.", at_least=20)
    epochs: int = lectures.option(20, "Passes over them per mask ratio.", at_least=1)
    width: int = lectures.option(16, "Features of the representation.", at_least=1)
    seeds: int = lectures.option(1, "Models per mask ratio.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(data="digits", epochs=15)


# %%
def masked_model(pixels, ratio, config, seed):
    """Build a masked autoencoder with one hidden layer in the encoder and one in the decoder."""
    starts = [keras.initializers.GlorotUniform(10 * seed + k) for k in range(4)]
    encoder = keras.Sequential(
        [
            keras.layers.Flatten(),
            keras.layers.Dense(256, use_bias=False, kernel_initializer=starts[0]),
            BatchNorm(),
            keras.layers.Activation("relu"),
            keras.layers.Dense(config.width, kernel_initializer=starts[1]),
        ]
    )
    decoder = keras.Sequential(
        [
            keras.layers.Dense(256, "relu", kernel_initializer=starts[2]),
            keras.layers.Dense(pixels, kernel_initializer=starts[3]),
        ]
    )
    model = MaskedVectors(encoder, decoder=decoder, mask_ratio=ratio, seed=seed)
    model.compile(keras.optimizers.Adam(0.003))
    return model


def probe(encoder, train, val):
    """Return the accuracy on `val` of logistic regression on the representation of `train`, in percent."""
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    classifier.fit(np.asarray(encoder(train[0])), train[1])
    return 100 * classifier.score(np.asarray(encoder(val[0])), val[1])


# %% [markdown]
# The error counts the hidden pixels only, relative to that of the mean image of the training set.


# %%
def error_by_hidden(model, x, mean):
    """Return the squared error of hidden pixels, divided by that of the mean image, per mask ratio."""
    rng = np.random.default_rng(0)
    errors = []
    for ratio in RATIOS:
        hidden = rng.random(x.shape) < ratio
        filled = np.asarray(model.reconstruct(x, hidden))
        errors.append(float(np.sum((filled - x)[hidden] ** 2) / np.sum((mean - x)[hidden] ** 2)))
    return errors


def run(config):
    train, val, _ = lectures.load_data(config.data, examples=config.examples, images=True)
    x, y = train.x, train.y
    val = lectures.first_examples(val, 1000)
    held_out = val.x, val.y
    probes, untrained = np.empty((len(RATIOS), config.seeds)), []
    for seed in range(config.seeds):
        for i, ratio in enumerate(RATIOS):
            model = masked_model(x[0].size, ratio, config, seed)
            if not i:
                model.prepare(x[:1])
                untrained.append(probe(model.encoder, (x, y), held_out))
            model.fit(x, batch_size=64, epochs=config.epochs, verbose=0)
            probes[i, seed] = probe(model.encoder, (x, y), held_out)
            if ratio == 0.5 and not seed:
                half = model
    shown = val.x[:6]
    hidden = np.asarray(half.draw_masked(shown))
    return {
        "probe": probes,
        "untrained": float(np.mean(untrained)),
        "error": error_by_hidden(half, held_out[0], x.mean(axis=0)),
        "images": {
            "digits not trained on": shown,
            "half hidden": np.where(hidden, 0.5, shown),
            "filled in": np.clip(half.reconstruct(shown, hidden), 0, 1),
        },
    }


# %%
def check(results):
    probes, untrained, error = results["probe"].mean(axis=1), results["untrained"], results["error"]
    half = RATIOS.index(0.5)
    best = int(np.argmax(probes))
    assert error[half] < 2 / 3, f"{error[half]:.2f} of the error of the mean image"
    assert np.all(np.diff(error[half:]) > 0), f"errors {enumerated(error)} as more is hidden"
    assert probes[half] > untrained + 4, f"untrained {untrained:.1f} %, half hidden {probes[half]:.1f} %"
    assert probes[-1] < probes[best] - 2, f"probes {enumerated(probes, '.1f', ' %')}"
    by_ratio = ", ".join(f"{each:.1f} % at {ratio:.0%}" for ratio, each in zip(RATIOS, probes, strict=True))
    return (
        f"The model fills in a hidden half of the pixels with {error[half]:.0%} of the error of the mean image, and "
        f"{RATIOS[-1]:.0%} of them with {error[-1]:.0%}. The probe is best at a mask ratio of {RATIOS[best]:.0%}: "
        f"{by_ratio}, and {untrained:.1f} % untrained."
    )


# %%
def plot(results):
    percent = 100 * np.array(RATIOS)
    probes = results["probe"]
    panels = [
        {
            "series": {"pretrained": (percent, probes.mean(axis=1))},
            "spread": {"pretrained": probes.std(axis=1)},
            "title": "linear probe",
            "x_label": "pixels hidden in training, %",
            "y_label": "accuracy, %",
            "level": (results["untrained"], "untrained"),
        },
        {
            "series": {"trained with half hidden": (percent, results["error"])},
            "title": "error of filled-in pixels",
            "x_label": "pixels hidden in the test, %",
            "y_label": "relative to the mean image",
            "y_limits": (0, None),
            "level": (1, "mean image"),
        },
    ]
    return plotting.images_and_graphs(results["images"], panels)


# %%
if __name__ == "__main__":
    lectures.main(globals())
