"""Training of every method on several replicas, and differences of weights and History from one device.

    PYTHONPATH=tests python tests/pretraining/replicas.py all                      prints tables of largest differences
    PYTHONPATH=tests python tests/pretraining/replicas.py REPLICAS FILE CASE …     writes the arrays of these cases

19 examples in minibatches of 9 are 9, 9 and 1: on two replicas 5 + 4 and 1 + 0, on four 3 + 3 + 3 + 0 and
1 + 0 + 0 + 0. A TensorFlow process supports one number of replicas only, so each number has its own process.
"""

import importlib
import inspect
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from support import processes
from support.twins import wrong_twin

from tf_kit import keras_internals, networks, optimizers, regularization, scaling
from tf_kit.pretraining import (
    BYOL,
    DINO,
    NNCLR,
    RBM,
    Autoencoder,
    BarlowTwins,
    Classifier,
    DenoisingAutoencoder,
    LeJEPA,
    MaskedAutoencoder,
    MaskedTokens,
    MaskedVectors,
    PatchEncoder,
    SimCLR,
    SimSiam,
    SupCon,
    Supervised,
    TokenEncoder,
    VICReg,
    linear_probe,
    pretrain_greedily,
)
from tf_kit.pretraining.joint_embedding import frame
from tf_kit.pretraining.joint_embedding import simclr as simclr_module
from tf_kit.randomness import keys as draws
from tf_kit.training import steps, trainer

# The functions of these names hide the modules.
nnclr_module, supcon_module = (
    importlib.import_module(f"tf_kit.pretraining.joint_embedding.{name}") for name in ("nnclr", "supcon")
)
ADAM, SGD = keras.optimizers.Adam, keras.optimizers.SGD
N = 19
rng = np.random.default_rng(0)
X = rng.random((N, 6)).astype("float32")
IMAGES = X.reshape(N, 2, 3, 1)
LARGER = rng.random((N, 4, 4, 1)).astype("float32")
TOKENS = rng.integers(7, size=(N, 6))
Y = np.arange(N) % 3


# Models: small, with parts that are difficult on replicas


def encoder(*units):
    return networks.mlp(units, num_classes=None, seed=0)


def autoencoder():
    """Deep and tied, with a penalty, and with a variable that the loss does not contain."""
    penalized = encoder(5, 4)
    penalized.layers[1].kernel_regularizer = keras.regularizers.L2(0.1)
    model = Autoencoder(penalized)
    model.unused = model.add_weight(shape=(2,), initializer="ones", name="unused")
    return model


def finetune():
    """With augmentation, dropout, batch norm, and a penalty of activities."""
    glorot, l1 = keras.initializers.GlorotUniform(seed=0), keras.regularizers.L1(0.1)
    layers = [
        regularization.RandomFlip("both", seed=3),
        regularization.AddNoise(0.1, seed=4),
        keras.layers.Flatten(),
        regularization.Dropout(0.3, seed=1),
        keras.layers.Dense(5, use_bias=False, kernel_initializer=glorot, activity_regularizer=l1),
        regularization.BatchNorm(),
        networks.ReLU(),
    ]
    return Classifier(keras.Sequential(layers), num_classes=3)


def noisy(x, key):
    """Augmentation as a plain function of keys: noise on each feature."""
    return x + 0.1 * draws.normal(draws.stream(key, "noise"), x.shape[1])


def joint(method, projector=(4,), augment=noisy, **options):
    """With dropout in the encoder, and new views in each step."""
    hidden = networks.mlp((8,), num_classes=None, activation="relu", seed=0).layers[1:]
    layers = [keras.layers.Flatten(), regularization.Dropout(0.3, seed=1), *hidden]
    return method(keras.Sequential(layers), projector=projector, augment=augment, **options)


def masked_images():
    patches = PatchEncoder(patch_size=2, width=4, depth=1, num_heads=1, hidden_units=4)
    return MaskedAutoencoder(patches, mask_ratio=0.5, decoder_width=4, decoder_heads=1)


def masked_tokens():
    tokens = TokenEncoder(num_tokens=8, width=4, depth=1, num_heads=1, hidden_units=4)
    return MaskedTokens(tokens, mask_token=7, mask_ratio=0.4)


METHODS = {  # name → (model, optimizer, inputs, targets)
    "autoencoder": (autoencoder, lambda **kw: ADAM(0.01, **kw), X, None),
    "denoising": (
        lambda: DenoisingAutoencoder(encoder(5), tied=False),
        lambda **kw: ADAM(0.01, **kw),
        X,
        None,
    ),
    "contrastive_divergence": (
        lambda: RBM(encoder=encoder(5), gibbs_steps=2),
        lambda **kw: SGD(0.1, momentum=0.5, **kw),
        X,
        None,
    ),
    "persistent_chains": (
        lambda: RBM(encoder=encoder(5), persistent=True, num_chains=8),
        lambda **kw: SGD(0.1, **kw),
        X,
        None,
    ),
    "supervised": (
        lambda: Supervised(encoder(5, 4), num_classes=3),
        lambda **kw: SGD(0.5, momentum=0.9, **kw),
        X,
        Y,
    ),
    "masked_images": (masked_images, lambda **kw: SGD(0.1, momentum=0.9, **kw), LARGER, None),
    "masked_tokens": (masked_tokens, lambda **kw: SGD(0.1, momentum=0.9, **kw), TOKENS, None),
    "masked_vectors": (lambda: MaskedVectors(encoder(5)), lambda **kw: ADAM(0.01, **kw), X, None),
    "simclr": (lambda: joint(SimCLR), lambda **kw: SGD(0.02, **kw), X, None),
    "byol": (lambda: joint(BYOL), lambda **kw: SGD(0.02, **kw), X, None),
    "simsiam": (lambda: joint(SimSiam), lambda **kw: SGD(0.02, **kw), X, None),
    "nnclr": (lambda: joint(NNCLR, queue_size=12), lambda **kw: SGD(0.02, **kw), X, None),
    "supcon": (lambda: joint(SupCon), lambda **kw: SGD(0.02, **kw), X, np.where(Y < 2, Y, -1)),
    "barlow": (lambda: joint(BarlowTwins, (6, 4)), lambda **kw: SGD(0.02, **kw), X, None),
    "vicreg": (lambda: joint(VICReg), lambda **kw: SGD(0.02, **kw), X, None),
    "dino": (lambda: joint(DINO, num_prototypes=8), lambda **kw: SGD(0.5, **kw), X, None),
    "lejepa": (lambda: joint(LeJEPA, num_directions=16), lambda **kw: SGD(0.02, **kw), X, None),
    "finetune": (finetune, lambda **kw: SGD(0.1, momentum=0.9, **kw), IMAGES, Y),
    "probe": (lambda: linear_probe(finetune().encoder, 3), lambda **kw: ADAM(0.01, **kw), IMAGES, Y),
}
VALIDATED = ("contrastive_divergence", "supervised", "nnclr", "barlow", "finetune")
CLIP = {"global_clipnorm": 0.1}
TRAININGS = {  # name → (optimizer's options, compile's options, [(option, examples, batch size, epochs)])
    "plain": ({}, {}, [("even", 16, 8, 3), ("uneven", 19, 9, 2)]),
    "clipped": (CLIP, {"steps_per_execution": 4}, [("clipped, 4 steps", 19, 5, 2)]),
    "accumulated": (CLIP | {"gradient_accumulation_steps": 2}, {}, [("accumulated", 19, 9, 4)]),
    "bfloat16": ({}, {}, [("bfloat16", 19, 9, 2)]),
}
OPTIONS = [option for _, _, parts in TRAININGS.values() for option, *_ in parts]
PLAIN = [option for option, *_ in TRAININGS["plain"][2]]


def train(method, training):
    """Train in parts; yield (option, model, History) after each part."""
    make, optimizer, x, y = METHODS[method]
    if training in ("clipped", "accumulated"):  # clipping would not change the steps of Adam

        def optimizer(**kw):
            return SGD(0.1, momentum=0.9, **kw)

    of_optimizer, of_compile, parts = TRAININGS[training]
    keras.config.set_dtype_policy("mixed_bfloat16" if training == "bfloat16" else "float32")
    try:
        model = make()
        if method == "supervised":  # a metric of Keras in addition to the built-in ones
            metric = keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="compiled")
            of_compile = of_compile | {"metrics": [metric]}
        model.compile(optimizer(**of_optimizer), **of_compile)
        for option, examples, batch_size, epochs in parts:
            held_out = {}
            if method in VALIDATED and training in ("plain", "clipped"):
                held_out = {"validation_data": (x[:7],) if y is None else (x[:7], y[:7])}
                held_out["validation_batch_size"] = 3  # three batches, fewer than steps_per_execution
            history = model.fit(
                x[:examples],
                y if y is None else y[:examples],
                batch_size=batch_size,
                epochs=epochs,
                verbose=0,
                **held_out,
            )
            yield option, model, history.history
    finally:
        keras.config.set_dtype_policy("float32")


# Other cases


def fit(model, optimizer, y=None, x=X, **arguments):
    model.compile(optimizer)
    return model, model.fit(x, y, batch_size=9, epochs=2, verbose=0, **arguments).history


def greedy():
    """One layer of greedy pretraining under the strategy of the scope; the gradient of each variable is clipped."""
    optimizer = ADAM(0.01, clipnorm=0.05)
    (block,) = pretrain_greedily(encoder(5), X, optimizer=optimizer, epochs=2, batch_size=9, tied=False)
    return block, block.history.history


def convolutions():
    """Convolutions of Keras, some in a nested model; one replica gets no image."""
    layers = keras.layers
    inner = keras.Sequential([layers.Conv2D(3, 2, padding="same"), layers.ReLU(), layers.DepthwiseConv2D(2)])
    encoder = keras.Sequential(
        [layers.Input((4, 4, 1)), inner, layers.SeparableConv2D(4, 2), layers.Flatten()]
    )
    rng = np.random.default_rng(1)
    encoder.set_weights([rng.normal(0, 0.5, weight.shape) for weight in encoder.get_weights()])
    model = Classifier(encoder, num_classes=3)
    return fit(model, SGD(0.05), Y, LARGER, validation_data=(LARGER[:4], Y[:4]), validation_batch_size=3)


def small_batches():
    """A data set with sample weights, whose first minibatches are smaller than the number of replicas."""
    model = finetune()
    model.compile(SGD(0.1, momentum=0.9))
    sizes = [1, 3, 9, 2, 1, 3]
    weights = np.linspace(0, 2, N, dtype="float32")

    def batches():
        for end, size in zip(np.cumsum(sizes), sizes, strict=True):
            part = slice(end - size, end)
            yield IMAGES[part], Y[part], weights[part]

    shapes = ((None, 2, 3, 1), "float32"), ((None,), "int64"), ((None,), "float32")
    dataset = tf.data.Dataset.from_generator(
        batches, output_signature=tuple(tf.TensorSpec(shape, kind) for shape, kind in shapes)
    )
    return model, model.fit(dataset, epochs=2, verbose=0).history


def half_precision():
    """Gradients are clipped after the loss scale is removed."""
    return in_half_precision(lambda: fit(Classifier(encoder(4), num_classes=3), SGD(1.0, **CLIP), Y))


def not_a_number():
    """A NaN among the last replica's examples in the second of three steps: all replicas skip the step."""

    def train():
        x = X[:18].copy()
        x[11] = np.nan
        model = Classifier(encoder(4), num_classes=3)
        optimizer = SGD(1.0, gradient_accumulation_steps=2)
        model.compile(keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=2.0))
        dataset = tf.data.Dataset.from_tensor_slices((x, Y[:18])).batch(6)
        history = model.fit(dataset, epochs=2, verbose=0).history
        scale = model.optimizer.dynamic_scale.numpy()
        return model, {name: values for name, values in history.items() if name != "loss"} | {
            "scale": [scale]
        }

    return in_half_precision(train)


def own_optimizer():
    """An optimizer of the kit with decay, clipping and averages of the weights, which are compared as History."""
    options = {"weight_decay": 0.1, "clipvalue": 0.01, "use_ema": True, "ema_momentum": 0.5}
    optimizer = optimizers.AdamW(0.01, jit_update=True, **options)
    model, history = fit(Classifier(encoder(4), num_classes=3), optimizer, Y)
    averages = [each.numpy() for each in optimizer.variables if each.path.endswith("_average")]
    assert len(averages) == len(model.trainable_variables)
    return model, history | {f"average {i}": each for i, each in enumerate(averages)}


def in_half_precision(function):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return function()
    finally:
        keras.config.set_dtype_policy("float32")


def compiled_views():
    """With an augmentation that XLA compiles, and with validation."""
    augment = regularization.compose(regularization.RandomFlip(), regularization.AddNoise(0.1))
    model = joint(BarlowTwins, (6, 4), augment)
    return fit(model, SGD(0.02), x=IMAGES, validation_data=(IMAGES[:7],))


def simclr(module=simclr_module):
    return fit(joint(module.SimCLR), SGD(0.02))


def nnclr(module=nnclr_module):
    return fit(joint(module.NNCLR, queue_size=12), SGD(0.02))


def supcon(module=supcon_module):
    return fit(joint(module.SupCon), SGD(0.02), np.where(Y < 2, Y, -1))


def frame_of_simclr(module=frame):
    """SimCLR with the base class of another module."""

    class Framed(module.JointEmbedding):
        temperature = 0.5
        loss_of_each = SimCLR.loss_of_each

    return fit(joint(Framed), SGD(0.02))


def center(module=trainer):
    """One vector w and the cost ½‖x + noise − w‖², with penalty and clipping."""

    class Center(module.Trainer):
        def __init__(self):
            super().__init__(seed=0)
            self.w = self.add_weight(shape=(6,), initializer="zeros", regularizer=keras.regularizers.L2(0.1))

        def per_example(self, x, y, random, training):
            inputs = x + random.normal((6,)) if training else x
            return {"loss": 0.5 * ops.sum((inputs - self.w) ** 2, axis=-1)}, None

    return fit(Center(), SGD(0.5, global_clipnorm=0.8))


def accumulated(module=steps):
    """Gradients accumulated over two steps, then clipped, with several steps per execution."""
    model = Supervised(encoder(5, 4), num_classes=3)
    trainer.steps = module
    try:
        optimizer = SGD(0.1, momentum=0.9, **CLIP, gradient_accumulation_steps=2)
        model.compile(optimizer, steps_per_execution=3)
        return model, model.fit(X, Y, batch_size=9, epochs=4, verbose=0).history
    finally:
        trainer.steps = steps


def summed_by_keras(module=keras_internals):
    """`accumulated` with the private names of Keras from another module."""
    trainer.keras_internals = steps.keras_internals = module
    try:
        return accumulated()
    finally:
        trainer.keras_internals = steps.keras_internals = keras_internals


SINGLE = {
    each.__name__: each
    for each in (
        greedy,
        convolutions,
        small_batches,
        half_precision,
        not_a_number,
        own_optimizer,
        compiled_views,
        simclr,
        nnclr,
        supcon,
        frame_of_simclr,
        center,
        accumulated,
        summed_by_keras,
    )
}
_GRADIENT = "tape.gradient(scaled, variables)"
TWINS = {  # name → (method, right, wrong): faults that one replica would not show
    "mean of means": (center, 'ops.sum(values["loss"]) / place.total_float', 'ops.mean(values["loss"])'),
    "penalty for each replica": (center, "share * ops.cast", "ops.cast"),
    "clip before the sum": (center, _GRADIENT, f"self.optimizer._clip_gradients({_GRADIENT})"),
    "own random numbers": (center, "step, place.count, place.offset, place.total)", "step, place.count)"),
    "history of one replica": (center, "sums = sum_over_replicas(ops", "sums = (ops"),
    "negatives of one replica": (simclr, "every = gather(z)", "every = z"),
    "anchors in other places": (simclr, "every[:, 1], random.index", "every[:, 1], random.index * 0"),
    "predictions of one replica": (nnclr, "every = gather(p)", "every = p"),
    "queue of one replica": (nnclr, "unit(gather(ops.stop_gradient(z[:, 0])))", "unit(ops.stop_gradient(z[:, 0]))"),
    "classes in another order": (supcon, "gather(z), gather(y)", "gather(z), gather(y)[::-1]"),
    "sum over replicas twice": (summed_by_keras, '"] = list', '"] = optimizer._all_reduce_sum_gradients'),
    "no sum over replicas": (center, "place.sum_gradients(", "list("),
    "no clipping of the mean": (summed_by_keras, "optimizer._clip_gradients(gradients)", "gradients"),
    "accumulators never reset": (accumulated, "keras_internals.reset_accumulators(optimizer)", "None"),
    "one step too many": (accumulated, "done < model", "done <= model"),
    "views of one replica": (frame_of_simclr, "+ view, random.index", "+ view, random.index * 0"),
}  # fmt: skip


# Training and comparison


def record(name, model, history):
    yield from ((f"{name}/weight/{i}", each) for i, each in enumerate(model.get_weights()))
    yield from ((f"{name}/history/{metric}", np.array(values)) for metric, values in history.items())


CASES = [f"{method}/{training}" for method in METHODS for training in TRAININGS]
HARD = ("persistent_chains", "simclr", "byol", "finetune")
# Clipping and accumulation are the same steps of `Trainer` for every method, so the hard ones stand for all.
# On four replicas the other methods differ in nothing: they leave sums over replicas to `Trainer`.
GATHERING = ("nnclr", "supcon", "barlow", "vicreg", "dino", "lejepa")
# What the twins change, which `METHODS` and the other cases contain; `center` is the shortest.
TWINS_OF = ("simclr", "nnclr", "supcon", "frame_of_simclr", "summed_by_keras")
SHORT = [case for case in CASES if case.endswith("/plain") or case.split("/")[0] in HARD]
CHOSEN = {  # number of replicas → cases of the test suite
    0: [*SHORT, *SINGLE],
    1: [f"{method}/plain" for method in HARD],
    2: [*SHORT, *SINGLE, *(f"twin {name}" for name in TWINS)],
    4: [*(f"{method}/plain" for method in (*HARD, *GATHERING, "supervised")), "finetune/accumulated"]
    + [case for case in SINGLE if case not in TWINS_OF],
}


TOLERANCES = {
    # The rounding of half-precision sums depends on the number of summands: the matrix product of a gradient is
    # rounded to 8 bits (bfloat16) or 11 (float16) on each replica before the replicas are summed.
    "bfloat16": 3e-2,  # measured: 1.6e-2
    "half_precision": 2e-4,
    "not_a_number": 2e-4,
    "barlow": 5e-6,  # its correlations divide by small deviations; measured: 1.6e-6 in the History
    "dino": 5e-6,  # its scores are divided by a temperature of 0.04; measured: 1.3e-6
    "nnclr": 5e-6,  # its similarities are divided by a temperature of 0.1; measured: 2.0e-6
    "compiled_views": 5e-6,  # also Barlow Twins
    "masked_images": 5e-6,  # its layer norms divide by small deviations; measured: 1.1e-6
}


def tolerance(method, option):
    """Tolerance of a case; 1e-6 leaves room for float32 sums in another order."""
    return TOLERANCES.get(option, TOLERANCES.get(method, 1e-6))


def train_all(cases):
    """Train cases; return arrays by the name `method/option/weight/number` or `method/option/history/metric`."""
    arrays = {}
    # Optimizing the graphs of a few small steps takes longer than it saves.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        for case in cases:
            method, _, training = case.partition("/")
            if case.startswith("twin "):
                arrays |= dict(record(case, *trained_twin(case.removeprefix("twin "))))
            elif training:
                for option, model, history in train(method, training):
                    arrays |= dict(record(f"{method}/{option}", model, history))
            else:
                arrays |= dict(record(f"{method}/alone", *SINGLE[method]()))
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
    return arrays


def trained_twin(name):
    """Train a method of `TWINS` with its fault; return the model and its History."""
    method, right, wrong = TWINS[name]
    module = inspect.signature(method).parameters["module"].default
    return method(wrong_twin(module, right, wrong))


def of(arrays, method, option):
    """Arrays of one method and option, by the rest of their names."""
    start = f"{method}/{option}/"
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}


def largest_difference(ours, theirs, kind):
    """Largest difference of the arrays whose names begin with `kind`; relative to the value if that is above 1.

    It is infinite if a shape differs, such as that of a History of another number of epochs.

    Args:
        ours, theirs: arrays by name.
        kind: "weight" or "history".
    """
    assert ours.keys() == theirs.keys()
    assert any(name.startswith(kind) for name in ours)
    if any(ours[name].shape != theirs[name].shape for name in ours if name.startswith(kind)):
        return np.inf
    return max(
        np.max(
            np.abs(ours[name].astype("float64") - theirs[name]) / np.maximum(np.abs(theirs[name]), 1),
            initial=0,
        )
        for name in ours
        if name.startswith(kind)
    )


def train_everywhere(folder, cases=CHOSEN, seconds=900):
    """Train on each number of replicas in its own process.

    Args:
        folder: folder for files of the other processes.
        cases: number of replicas → names from `CASES` and `SINGLE`, and `"twin NAME"` for a name of `TWINS`.
        seconds: longest time for which a process may still run when the one before it has ended.

    Returns:
        Number of replicas, 0 for no strategy → arrays of `train_all`.
    """
    files = {count: Path(folder) / f"{count}.npz" for count in sorted(cases, reverse=True) if count}
    children = {count: processes.start(__file__, count, path, *cases[count]) for count, path in files.items()}
    try:
        arrays = {0: train_all(cases[0])}
        for count, child in children.items():
            processes.finish(child, timeout=seconds)
            arrays[count] = dict(np.load(files[count]))
    finally:
        for child in children.values():
            child.kill()
    return arrays


def table(arrays, kind):
    """Format the largest differences of weights or History from one device, by method and option, over all numbers of
    replicas; a mark follows a value above its tolerance."""
    lines = [f"{kind:24}" + "".join(f"{option:>18} " for option in OPTIONS)]
    for method in METHODS:
        line = f"{method:24}"
        for option in OPTIONS:
            alone, *shared = (of(each, method, option) for each in arrays.values())
            apart = max(largest_difference(each, alone, kind) for each in shared if each)
            line += f"{apart:18.1e}" + ("!" if apart > tolerance(method, option) else " ")
        lines.append(line)
    return "\n".join(line.rstrip() for line in lines)


def main(count, path, cases):
    with scaling.strategy("mirrored", replicas=count).scope():
        np.savez(path, **train_all(cases))


if __name__ == "__main__":
    if sys.argv[1:2] == ["all"]:
        with tempfile.TemporaryDirectory() as folder:
            everything = train_everywhere(
                folder, {count: [*CASES, *SINGLE] for count in CHOSEN}, seconds=7200
            )
        tables = [table(everything, kind) for kind in ("weight", "history")]
        print("", *tables, sep="\n\n")
        sys.exit(any("!" in each for each in tables))
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
