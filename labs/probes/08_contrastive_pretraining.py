"""What is measured of an answer to the lab on contrastive pretraining. Public: it runs beside the student's objects."""

import numpy as np
from keras import ops


def random_crop(namespace, case):
    """The view, and the images after the call: the second view is cut from them."""
    images = case["images"].copy()
    view = namespace["random_crop"](images, case["uniform"].copy(), int(case["padding"]))
    return {"view": np.array(view), "images": images}


def cosine_similarities(namespace, case):
    return {"similarities": called(namespace["cosine_similarities"], case, "a", "b")}


def nt_xent(namespace, case):
    temperature = float(case["temperature"])
    return {"loss": called(lambda za, zb: namespace["nt_xent"](za, zb, temperature), case, "za", "zb")}


def alignment_and_uniformity(namespace, case):
    alignment, uniformity = called(namespace["alignment_and_uniformity"], case, "za", "zb")
    return {"alignment": alignment, "uniformity": uniformity}


def barlow_twins(namespace, case):
    weight = float(case["redundancy_weight"])
    return {"loss": called(lambda za, zb: namespace["barlow_twins"](za, zb, weight), case, "za", "zb")}


def knn_predict(namespace, case):
    tensors = [ops.convert_to_tensor(case[name]) for name in ("train_z", "train_y", "test_z")]
    return {"classes": namespace["knn_predict"](*tensors, int(case["k"]), int(case["num_classes"]))}


def called(function, case, *names):
    """The function's result on the arrays of a case, eagerly or in a graph that does not know how many examples."""
    tensors = [ops.convert_to_tensor(case[name]) for name in names]
    if not case.get("compiled"):
        return function(*tensors)
    import tensorflow as tf

    signature = [tf.TensorSpec((None, *each.shape[1:]), each.dtype) for each in tensors]
    graph = tf.function(function, input_signature=signature, autograph=False)
    return graph.get_concrete_function()(*tensors)  # without a warning of many tracings
