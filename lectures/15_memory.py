# %%
"""Does the memory bill match the real variables, and which memory do the slide's 168 MB cover?

The bill is computed without running anything: for ResNet-50, the 50-layer network of the slide, and for the kit's
multilayer perceptron, at growing minibatches, with Adam. For the perceptron every entry is then compared with the
arrays that TensorFlow holds after a real step: the weights, the gradients, the optimizer's variables and the
activations.

Claim: the bill equals the real bytes. ResNet-50 has the slide's 26 million weights and 16 million activations, 168 MB
together, but that covers one example in the forward pass; training on minibatches of 32 takes more than ten times as
much. In ResNet-50 the activations outgrow everything else; in the perceptron the weights, gradients and slots do.

Slide: "High memory requirements".
Reference: He, Zhang, Ren, Sun 2016, "Deep residual learning for image recognition", table 1, arXiv:1512.03385.
"""

import dataclasses

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

from tf_kit import design, lectures, networks, plotting

TITLE = "The memory bill"
SECONDS = 6

PARTS = ("weights", "gradients", "slots", "inputs", "activations")


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    units: int = lectures.option(1000, "Units in each of the perceptron's two hidden layers.", at_least=1)
    optimizer: str = lectures.option(
        "adam",
        "Name of a Keras optimizer.",
        choices=("sgd", "adam", "adamw", "adamax", "nadam", "adagrad", "adadelta", "rmsprop", "ftrl", "lion"),
    )
    largest: int = lectures.option(
        128, "Largest minibatch; each smaller one is a quarter of the next.", at_least=32
    )
    image: int = lectures.option(224, "Side of ResNet-50's input images in pixels.", at_least=32)

    @classmethod
    def quick(cls):
        return cls(largest=32)


# %%
def parts_of(bill):
    return {part: getattr(bill, f"{part}_bytes") for part in PARTS}


def perceptron(config):
    return networks.mlp((config.units,) * 2, num_classes=10, input_shape=(28, 28, 1))


# %% [markdown]
# For comparison, one real step of the perceptron, and the size of every array that it creates.


# %%
def held(model, optimizer, batch_size):
    """Run one training step; return the bytes of its arrays, read from the arrays themselves."""
    rng = np.random.default_rng(0)
    x = tf.constant(rng.random((batch_size, *model.input_shape[1:]), "float32"))
    y = rng.integers(0, 10, batch_size)
    with tf.GradientTape() as tape:
        J = networks.SoftmaxCrossEntropy()(y, model(x, training=True))
    gradients = tape.gradient(J, model.trainable_variables)
    optimizer = keras.optimizers.get(optimizer)
    optimizer.apply(gradients, model.trainable_variables)

    def size(arrays):
        return sum(np.asarray(each).nbytes for each in arrays)

    return {
        "weights": size(model.variables),
        "gradients": size(gradients),
        "slots": size(optimizer.variables),
        "inputs": size([x]),
        # f works in place on z, so each layer leaves one array
        "activations": size(networks.forward(model, x).z),
    }


def run(config):
    deep = keras.applications.ResNet50(weights=None, input_shape=(config.image, config.image, 3))
    wide = perceptron(config)
    sizes = [config.largest]
    while sizes[0] >= 4:
        sizes.insert(0, sizes[0] // 4)
    bills = {
        name: {size: parts_of(design.memory_bill(model, size, config.optimizer)) for size in sizes}
        for name, model in (("ResNet-50", deep), ("perceptron", wide))
    }
    one = design.memory_bill(deep, 1)
    of_32 = design.memory_bill(deep, 32, config.optimizer)
    return {
        "bills": bills,
        "weights": one.num_weights,
        "activations": one.num_activations,
        "slide_bytes": one.weights_bytes + one.activations_bytes,
        "bytes_of_32": of_32.total_bytes,
        "image": config.image,
        "held": held(wide, config.optimizer, config.largest),
    }


# %%
def check(results):
    billed = list(results["bills"]["perceptron"].values())[-1]
    held = results["held"]
    off = [
        f"{part} {billed[part]:,} billed, {held[part]:,} held" for part in PARTS if billed[part] != held[part]
    ]
    assert not off, f"bytes of {'; '.join(off)}"
    assert round(results["weights"] / 1e6) == 26, f"{results['weights']:,} weights"
    if results["image"] == 224:
        assert round(results["activations"] / 1e6) == 16, f"{results['activations']:,} activations"
        assert round(results["slide_bytes"] / 1e6) == 168, f"{results['slide_bytes']:,} bytes"
    size, of_deep = list(results["bills"]["ResNet-50"].items())[-1]
    total = sum(of_deep.values())
    assert of_deep["activations"] > total / 2, "the activations should be most of ResNet-50's memory"
    assert billed["activations"] < sum(billed.values()) / 2, "and less than half of the perceptron's"
    of_32 = results["bytes_of_32"]
    assert of_32 > 10 * results["slide_bytes"], f"training on 32 takes only {of_32:,} bytes"
    return (
        f"ResNet-50 has {results['weights'] / 1e6:.1f} M weights and {results['activations'] / 1e6:.1f} M activations, "
        f"{results['slide_bytes'] / 1e6:.0f} MB for one example in the forward pass; training on {size} takes "
        f"{total / 1e9:.1f} GB, {of_deep['activations'] / total:.0%} of it for activations. The perceptron's bill of "
        f"{sum(billed.values()) / 1e6:.1f} MB equals the memory that TensorFlow holds to the byte, "
        f"{billed['activations'] / sum(billed.values()):.0%} of it for activations."
    )


# %%
def plot(results):
    hatches = ("", "//", "..", "xx", "\\\\")
    with plt.rc_context({**plotting.STYLE, "font.size": 15}):
        figure, row = plt.subplots(1, 2, figsize=(11.2, 4.8), layout="constrained")
        units = (("ResNet-50", "GB", 1e9), ("perceptron", "MB", 1e6))
        for axes, (name, unit, scale) in zip(row, units, strict=True):
            bills = results["bills"][name]
            sizes = [str(size) for size in bills]
            bottom = np.zeros(len(bills))
            for part, color, hatch in zip(PARTS, plotting.COLORS, hatches, strict=False):
                heights = np.array([bill[part] / scale for bill in bills.values()])
                axes.bar(sizes, heights, 0.7, bottom, color=color, hatch=hatch, edgecolor="white", label=part)
                bottom += heights
            for i, total in enumerate(bottom):
                axes.annotate(f"{total:.3g}", (i, total), (0, 3), textcoords="offset points", ha="center")
            axes.set(title=name, xlabel="examples per minibatch", ylabel=f"memory, {unit}")
            axes.grid(axis="x", visible=False)
            axes.set_axisbelow(True)
            axes.margins(y=0.1)
        handles, parts = row[0].get_legend_handles_labels()
        figure.legend(handles, parts, loc="outside lower center", ncols=len(parts))
    return figure


# %%
if __name__ == "__main__":
    lectures.main(globals())
