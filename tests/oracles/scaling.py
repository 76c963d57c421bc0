"""Formulas of the scaling wing as float64 loops, written from the papers. May not import tf_kit."""

import itertools
import math

import numpy as np

# Pruning


def pruned(kernels, sparsity, together):
    """Han et al., 2015, section 3: the round(s·n) smallest magnitudes become zero, of equal ones the first first."""
    if not together:
        return [pruned([kernel], sparsity, True)[0] for kernel in kernels]
    places = [
        (abs(float(kernel[index])), number, index)
        for number, kernel in enumerate(kernels)
        for index in np.ndindex(kernel.shape)
    ]
    kept = [np.array(kernel, "float64") for kernel in kernels]
    for _, number, index in sorted(places)[: round(sparsity * len(places))]:
        kept[number][index] = 0.0
    return kept


def gradual_sparsity(step, initial, final, begin, num_prunings, frequency):
    """Zhu and Gupta, 2017, equation 1, with its n and Δt."""
    return final + (initial - final) * (1 - (step - begin) / (num_prunings * frequency)) ** 3


# Quantization


def quantized(weights, bits):
    """Whole numbers and scales of a (…, channels) array; halves are rounded to even."""
    levels = np.zeros(weights.shape, int)
    scales = []
    for channel in range(weights.shape[-1]):
        highest = 0.0
        for index in np.ndindex(weights.shape[:-1]):
            highest = max(highest, abs(float(weights[(*index, channel)])))
        scale = float(np.float32(highest / (2 ** (bits - 1) - 1))) or 1.0
        for index in np.ndindex(weights.shape[:-1]):
            levels[(*index, channel)] = round(float(weights[(*index, channel)]) / scale)
        scales.append(scale)
    return levels, np.array(scales)


# Distillation


def softmax(logits, temperature=1.0):
    powers = [math.exp(each / temperature) for each in logits]
    return [power / sum(powers) for power in powers]


def distillation_loss(labels, teacher_logits, student_logits, temperature, alpha):
    """Hinton et al., 2015, section 2: both cross-entropies, the soft one times T²."""
    losses = []
    for label, teacher, student in zip(labels, teacher_logits, student_logits, strict=True):
        hard = -math.log(softmax(student)[label])
        soft = 0.0
        for p, q in zip(softmax(teacher, temperature), softmax(student, temperature), strict=True):
            soft -= p * math.log(q)
        losses.append(alpha * hard + (1 - alpha) * temperature * temperature * soft)
    return np.array(losses)


# Energy


def dense_products(num_inputs, units):
    """Multiplications for one example in a dense layer, counted one by one."""
    products = 0
    for _ in range(units):
        for _ in range(num_inputs):
            products += 1
    return products


def convolution_products(height, width, channels, filters, kernel, stride, groups=1):
    """The same in a convolution without padding; with groups, a filter sees the channels of its group only."""
    products = 0
    for _ in range(0, height - kernel + 1, stride):
        for _ in range(0, width - kernel + 1, stride):
            for _ in range(filters):
                for _ in range(kernel * kernel):
                    for _ in range(channels // groups):
                        products += 1
    return products


# Horowitz, 2014, figure 1.1.9, in picojoules
FLOAT32 = 0.9 + 3.7
FLOAT16 = 0.4 + 1.1
INT8 = 0.1 + 0.2
DRAM_BYTE = 1300 / 8


def dense_joules(num_inputs, units, batch_size, steps, training, slots):
    """Energy of a float32 dense layer with a bias, from each array that each product reads or writes."""
    weights = 4 * (num_inputs * units + units)
    inputs, outputs = 4 * batch_size * num_inputs, 4 * batch_size * units
    moved = weights + inputs + outputs  # z = x W
    products = 1
    if training:
        moved += outputs + weights + inputs  # δ of the inputs = δ Wᵀ
        moved += inputs + outputs + weights  # ∂J/∂W = xᵀ δ
        products += 2
        moved += weights + weights + weights  # W and its gradient read, W written
        moved += slots * (weights + weights)
    operations = products * batch_size * dense_products(num_inputs, units)
    return steps * (operations * FLOAT32 + moved * DRAM_BYTE) * 1e-12


# Parallelism


def highest_cost(costs, cuts):
    """Cost of the most expensive of the parts that start at 0 and at the cuts."""
    highest, part = 0, 0
    for index, cost in enumerate(costs):
        if index in cuts:
            part = 0
        part += cost
        highest = max(highest, part)
    return highest


def moved_bytes(weights, outputs, num_devices, batch_size):
    """Bytes of (ring all-reduce, activations and their gradients) for dense layers with these weights and outputs.

    Each replica sends R − 1 chunks of G/R to be added and R − 1 to be copied; the cuts are the best possible ones.
    """
    reduced = 0.0
    for _ in range(num_devices):
        for _ in range(2 * (num_devices - 1)):
            reduced += 4 * sum(weights) / num_devices
    tried = itertools.combinations(range(1, len(weights)), num_devices - 1)
    cuts = min(tried, key=lambda each: highest_cost(weights, each))
    crossing = 0
    for cut in cuts:
        for _ in range(batch_size):
            crossing += 2 * 4 * outputs[cut - 1]
    return round(reduced), crossing
