"""What is measured of an answer to the lab on masked pretraining. Public: it runs beside the student's objects."""

import numpy as np
from keras import ops

NOT_BY_EXAMPLE = ("mask_token",)


def patchify(namespace, case):
    size = int(case["size"])
    return {"patches": called(lambda images: namespace["patchify"](images, size), case, "images")}


def unpatchify(namespace, case):
    size, shape = int(case["size"]), tuple(int(each) for each in case["image_shape"])
    return {"images": called(lambda patches: namespace["unpatchify"](patches, shape, size), case, "patches")}


def hide(namespace, case):
    order, masked = called(lambda u: namespace["hide"](u, int(case["num_visible"])), case, "uniform")
    return {"order": order, "masked": masked}


def put_back(namespace, case):
    return {"tokens": called(namespace["put_back"], case, "tokens", "mask_token", "order")}


def masked_patch_loss(namespace, case):
    return {"loss": called(namespace["masked_patch_loss"], case, "patches", "predictions", "masked")}


def mask_tokens(namespace, case):
    specials = tuple(int(each) for each in case["specials"])
    mask_token, rate = int(case["mask_token_id"]), float(case["rate"])

    def masking(tokens, uniform, kind, random_tokens):
        return namespace["mask_tokens"](tokens, uniform, kind, random_tokens, mask_token, specials, rate)

    inputs, chosen = called(masking, case, "tokens", "uniform", "kind", "random_tokens")
    return {"inputs": inputs, "chosen": chosen, "inputs have the dtype of the tokens": dtype_of(inputs)}


def dtype_of(array):
    return np.array(str(np.array(array).dtype))


def called(function, case, *names):
    """The function's result on the arrays of a case, eagerly or in a graph that does not know how many examples."""
    tensors = [ops.convert_to_tensor(case[name]) for name in names]
    if not case.get("compiled"):
        return function(*tensors)
    import tensorflow as tf

    signature = [
        tf.TensorSpec(each.shape if name in NOT_BY_EXAMPLE else (None, *each.shape[1:]), each.dtype)
        for name, each in zip(names, tensors, strict=True)
    ]
    graph = tf.function(function, input_signature=signature, autograph=False)
    return graph.get_concrete_function()(*tensors)  # without a warning of many tracings
