"""What an answer's process would spend on TensorFlow itself, spent once before the forks or not at all.

An answer runs a few dozen small operations and is done; making their kernels takes longer than running them. None of
this starts a thread, which a fork would lose.
"""

import contextlib

ENVIRONMENT = {  # oneDNN's rewriting looks through every registered kernel for each new one
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


def warm():
    """Fills TensorFlow's registries, and gives all variables of one shape and dtype one kernel."""
    from tensorflow import config
    from tensorflow.python.framework import kernels, op_def_registry

    config.list_physical_devices()
    op_def_registry.get("VarHandleOp")
    kernels.get_registered_kernels_for_op("VarHandleOp")
    with contextlib.suppress(ImportError, AttributeError):  # a TensorFlow that makes variables in another way
        _share_kernels_of_variables()


def _share_kernels_of_variables():
    """A variable's name is an attribute of the operation that makes it, so each would have a kernel of its own."""
    from tensorflow.python.ops import gen_resource_variable_ops as operations

    made = operations.var_handle_op

    def var_handle_op(*arguments, debug_name="", **options):
        return made(*arguments, **options)

    operations.var_handle_op = var_handle_op
