"""What is measured of an answer to the lab on regularization. Public: it runs beside the student's objects."""

import keras
import numpy as np
from keras import ops


def elastic_net(namespace, case):
    """The penalty and the gradient that TensorFlow derives from it."""
    import tensorflow as tf

    penalty = namespace["ElasticNet"](l1=case["l1"], l2=case["l2"])
    weights = ops.convert_to_tensor(case["weights"], dtype=case["dtype"])
    with tf.GradientTape() as tape:
        tape.watch(weights)
        value = penalty(weights)
        total = value * 1.0
    gradient = tape.gradient(total, weights)
    return {"penalty": value, "gradient": np.full(weights.shape, np.nan) if gradient is None else gradient}


def soft_threshold(namespace, case):
    weights = ops.convert_to_tensor(case["weights"], dtype=case["dtype"])
    shrunk = namespace["SoftThreshold"](case["threshold"])(weights)
    return {"shrunk": shrunk, "zeros": np.asarray(shrunk) == 0}


def dropout_layer(namespace, case):
    layer = namespace["Dropout"](case["rate"], seed=case["seed"])
    x = ops.convert_to_tensor(case["x"])
    if case["about"] == "prediction":
        return {"outputs": layer(x, training=False), "by_default": layer(x)}
    if case["part"] == "graph":
        import tensorflow as tf

        step = tf.function(lambda x: layer(x, training=True), autograph=False).get_concrete_function(x)
        first, second = np.array(step(x)), np.array(step(x))
    else:
        first, second = (np.array(layer(x, training=True)) for _ in range(2))
    again = np.array(namespace["Dropout"](case["rate"], seed=case["seed"])(x, training=True))
    return {"first": first, "second": second, "again": again}


def two_votes(namespace, case):
    h, W, b, masks = case["h"], case["W"], case["b"], case["masks"]
    return {
        "sampling": namespace["vote_by_sampling"](h, W, b, masks),
        "scaling": namespace["vote_by_scaling"](h, W, b, case["rate"]),
        "arguments": np.concatenate([np.ravel(np.asarray(each, "float64")) for each in (h, W, b, masks)]),
    }


def early_stopping(namespace, case):
    """Training as `fit` would call it; in epoch 1, 2, … the only weight of the model is 1, 2, …"""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    callback = namespace["EarlyStopping"](patience=case["patience"])
    callback.set_model(model)
    found = {}
    for fit in ("first", "second"):
        model.stop_training = False
        callback.on_train_begin()
        for epoch, loss in enumerate(case[fit]):
            model.set_weights([np.full((1, 1), epoch + 1.0)])
            callback.on_epoch_end(epoch, {"loss": 1 / (epoch + 1), "val_loss": float(loss)})
            if model.stop_training:
                break
        callback.on_train_end()
        found |= {f"{fit}_epochs": epoch + 1, f"{fit}_stopped": bool(model.stop_training)}
        found[f"{fit}_weight"] = model.get_weights()[0][0, 0]
    return found
