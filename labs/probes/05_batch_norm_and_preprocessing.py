"""What is measured of an answer to the lab on batch norm and preprocessing. Public: it runs beside the student's."""

import numpy as np
from keras import ops


def standardize(namespace, case):
    train, test = namespace["standardize"](case["train"], case["test"])
    return {"train": train, "test": test, "arguments": np.concatenate([case["train"], case["test"]])}


def pca_whitening(namespace, case):
    """The size of each coordinate: its sign is arbitrary."""
    z = namespace["pca_whiten"](case["train"], case["x"], case["epsilon"])
    return {"size_of_z": np.abs(z), "arguments": np.concatenate([case["train"], case["x"]])}


def batch_norm(namespace, case):
    """Outputs and moving statistics after each minibatch, then a prediction for part of the last one."""
    layer = namespace["BatchNorm"](momentum=case["momentum"], epsilon=case["epsilon"])
    batches = [ops.convert_to_tensor(batch) for batch in case["batches"]]
    layer.build(batches[0].shape)
    layer.gamma.assign(case["gamma"])
    layer.beta.assign(case["beta"])

    def train(x):
        return layer(x, training=True)

    if case["part"] == "graph":
        import tensorflow as tf

        train = tf.function(train, autograph=False).get_concrete_function(batches[0])
    outputs = [np.array(train(x)) for x in batches] if case["part"] != "prediction" else []
    if case["part"] == "prediction":
        layer.moving_mean.assign(case["moving_mean"])
        layer.moving_variance.assign(case["moving_variance"])
    predictions = layer(batches[-1][:2], training=False)
    return {
        "outputs": np.stack(outputs) if outputs else 0.0,
        "predictions": predictions,
        "moving_mean": layer.moving_mean,
        "moving_variance": layer.moving_variance,
    }


def batch_norm_gradient(namespace, case):
    dx, dgamma, dbeta = namespace["batch_norm_gradient"](case["x"], case["gamma"], case["g"], case["epsilon"])
    return {"dx": dx, "dgamma": dgamma, "dbeta": dbeta, "arguments": np.concatenate([case["x"], case["g"]])}


def fold_batch_norm(namespace, case):
    names = ("W", "b", "gamma", "beta", "mean", "variance")
    W, b = namespace["fold_batch_norm"](*(case[name] for name in names), case["epsilon"])
    return {"W": W, "b": b, "arguments": np.concatenate([np.ravel(case[name]) for name in names])}
