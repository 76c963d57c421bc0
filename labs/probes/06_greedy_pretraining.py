"""What is measured of an answer to the lab on greedy pretraining. Public: it runs beside the student's objects."""

import numpy as np
from keras import ops

WEIGHTS = ("kernel", "hidden_bias", "visible_bias")


def reconstruction_loss(namespace, case):
    return {"loss": called(namespace["reconstruction_loss"], case, "x", *WEIGHTS)}


def corrupt(namespace, case):
    rate = case["rate"]
    answer = called(lambda x, uniform: namespace["corrupt"](x, uniform, rate), case, "x", "uniform")
    return {"corrupted": answer}


def tied_gradients(namespace, case):
    return gradients(called(namespace["tied_gradients"], case, "corrupted", "clean", *WEIGHTS))


def free_energy(namespace, case):
    return {"free_energy": called(namespace["free_energy"], case, "v", *WEIGHTS)}


def contrastive_divergence(namespace, case):
    names = ("v", *WEIGHTS, "hidden_uniform", "visible_uniform")
    return gradients(called(namespace["contrastive_divergence"], case, *names))


def pretrain_greedily(namespace, case):
    """What each layer was trained on, in order, and what the answer returned; the layers are given."""
    inputs, widths = [], []

    def train_layer(layer_inputs, units):
        level = len(inputs)
        inputs.append(np.array(layer_inputs))
        widths.append(int(units))
        given = min(level, len(case["widths"]) - 1)
        return ops.convert_to_tensor(case[f"kernel_{given}"]), ops.convert_to_tensor(case[f"bias_{given}"])

    layers = namespace["pretrain_greedily"](
        tensor(case, "x"), [int(each) for each in case["widths"]], train_layer
    )
    layers = [(np.array(kernel), np.array(bias)) for kernel, bias in layers]
    measured = {"widths": np.array(widths), "layers": np.array(len(layers))}
    for level, seen in enumerate(inputs):
        measured[f"trained on, layer {level + 1}"] = seen
    for level, (kernel, bias) in enumerate(layers):
        measured[f"kernel, layer {level + 1}"], measured[f"bias, layer {level + 1}"] = kernel, bias
    return measured


def gradients(answer):
    kernel, hidden_bias, visible_bias = answer
    return {"kernel": kernel, "hidden_bias": hidden_bias, "visible_bias": visible_bias}


def tensor(case, name):
    return ops.convert_to_tensor(case[name])


def called(function, case, *names):
    """The function's result on the arrays of a case, eagerly or in a graph that does not know how many examples."""
    tensors = [tensor(case, name) for name in names]
    if not case.get("compiled"):
        return function(*tensors)
    import tensorflow as tf

    signature = [
        tf.TensorSpec(each.shape if name in WEIGHTS else (None, *each.shape[1:]), each.dtype)
        for name, each in zip(names, tensors, strict=True)
    ]
    graph = tf.function(function, input_signature=signature, autograph=False)
    return graph.get_concrete_function()(*tensors)  # without a warning of many tracings
