"""The work of `rows.py` in plain PyTorch: a model, a loss, a fused Adam, minibatches cut from one tensor."""

import itertools
import math

import torch
from torch import nn
from torch.nn import functional as F


def train(parameters, loss_of, x, y, batch, precision="float32"):
    """A function that trains one epoch; `loss_of(x, y)` is the mean loss of a minibatch."""
    low = precision == "bfloat16"
    x, y = torch.as_tensor(x), None if y is None else torch.as_tensor(y)
    optimizer = torch.optim.Adam(parameters, 1e-3, fused=True)

    def epoch():
        order, total = torch.randperm(len(x)), 0.0
        for start in range(0, len(x), batch):
            chosen = order[start : start + batch]
            with torch.autocast("cpu", torch.bfloat16, enabled=low):
                loss = loss_of(x[chosen], None if y is None else y[chosen])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach()
        return float(total)

    return epoch


def mlp(widths, x, y, batch, precision):
    layers = []
    for units, following in itertools.pairwise(widths):
        layers += [nn.Linear(units, following), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    return train(model.parameters(), lambda x, y: F.cross_entropy(model(x), y), x, y, batch, precision)


def adam(shapes, calls):
    weights = [nn.Parameter(0.05 * torch.randn(shape)) for shape in shapes]
    for weight in weights:
        weight.grad = 0.01 * torch.randn_like(weight)
    optimizer = torch.optim.Adam(weights, fused=True)

    def run():
        for _ in range(calls):
            optimizer.step()

    return run


def denoising(x, hidden, batch, rate=0.25):
    W = nn.Parameter(0.03 * torch.randn(x.shape[1], hidden))
    b, c = nn.Parameter(torch.zeros(x.shape[1])), nn.Parameter(torch.zeros(hidden))

    def loss_of(x, _):
        seen = x * (torch.rand_like(x) >= rate)
        h = torch.sigmoid(torch.addmm(c, seen, W))
        z = torch.addmm(b, h, W.T)
        return F.binary_cross_entropy_with_logits(z, x, reduction="sum") / len(x)

    return train([W, b, c], loss_of, x, None, batch)


def blocks(width, depth, heads=4):
    made = [
        nn.TransformerEncoderLayer(
            width, heads, 4 * width, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True
        )
        for _ in range(depth)
    ]
    return nn.Sequential(*made, nn.LayerNorm(width, 1e-6))


class Masked(nn.Module):
    """Masked autoencoder with the sizes of `rows.masked`."""

    def __init__(self, patches=49, pixels=16, width=64, depth=2, narrow=32, ratio=0.75):
        super().__init__()
        self.visible = patches - round(ratio * patches)
        self.embedding, self.narrow = nn.Linear(pixels, width), nn.Linear(width, narrow)
        self.to_pixels, self.token = nn.Linear(narrow, pixels), nn.Parameter(0.02 * torch.randn(narrow))
        self.encoder, self.decoder = blocks(width, depth), blocks(narrow, 1)
        self.register_buffer("positions", torch.randn(patches, width))
        self.register_buffer("places", torch.randn(patches, narrow))

    def forward(self, x):
        n = len(x)
        patches = x.reshape(n, 7, 4, 7, 4).permute(0, 1, 3, 2, 4).reshape(n, 49, 16)
        order = torch.rand(n, 49).argsort(1)
        rank, visible = order.argsort(1), order[:, : self.visible]
        seen = patches.gather(1, visible[..., None].expand(-1, -1, 16))
        h = self.narrow(self.encoder(self.embedding(seen) + self.positions[visible]))
        hidden = self.token.expand(n, 49 - self.visible, -1)
        tokens = torch.cat([h, hidden], 1).gather(1, rank[..., None].expand(-1, -1, h.shape[-1]))
        predicted = self.to_pixels(self.decoder(tokens + self.places))
        weights = (rank >= self.visible).float()
        of_patch = ((patches - predicted) ** 2).mean(-1)
        return ((weights * of_patch).sum(1) / weights.sum(1)).mean()


def masked(x, batch):
    model = Masked()
    return train(model.parameters(), lambda x, _: model(x[..., 0]), x, None, batch)


def views(x, kind):
    """Random views of images (n, c, h, w), one draw per image, as `regularization.preset(kind, strong=True)`."""
    n, smallest = len(x), {"digits": 0.5, "fashion": 0.4, "natural": 0.2}[kind]

    def uniform(low, high, *shape):
        return low + (high - low) * torch.rand(n, *shape)

    area, stretch = uniform(smallest, 1.0), torch.exp(uniform(-0.2877, 0.2877))  # aspect between 3/4 and 4/3
    wide, high = (area * stretch).sqrt().clamp(max=1), (area / stretch).sqrt().clamp(max=1)
    angle = uniform(-math.pi / 12, math.pi / 12) if kind == "digits" else torch.zeros(n)
    mirror = torch.ones(n) if kind == "digits" else torch.randint(0, 2, (n,)) * 2.0 - 1
    rows = [
        torch.stack([mirror * wide * angle.cos(), -high * angle.sin(), (1 - wide) * uniform(-1, 1)], 1),
        torch.stack([mirror * wide * angle.sin(), high * angle.cos(), (1 - high) * uniform(-1, 1)], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), x.shape, align_corners=False)
    x = F.grid_sample(x, grid, align_corners=False)
    colored, strength = x.shape[1] == 3, 0.8 if x.shape[1] == 3 else 0.4
    x = x + uniform(-strength, strength, 1, 1, 1)
    x = torch.lerp(x.mean((1, 2, 3), keepdim=True), x, uniform(1 - strength, 1 + strength, 1, 1, 1))
    if colored:
        luma = torch.tensor([0.299, 0.587, 0.114])
        grey = torch.einsum("nchw,c->nhw", x, luma)[:, None]
        x = torch.lerp(grey, x, uniform(0.2, 1.8, 1, 1, 1))  # saturation
        x = torch.einsum("ncd,ndhw->nchw", _hue(uniform(-0.2, 0.2)), x)
    return x.clamp(0, 1)


def _hue(turns):
    """Rotations of colors about grey, (n, 3, 3)."""
    grey = torch.full((3, 3), 1 / 3)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    c, s = (f(2 * math.pi * turns)[:, None, None] for f in (torch.cos, torch.sin))
    return c * torch.eye(3) + (1 - c) * grey + s * cross


def simclr(kind, x, batch, loss):
    """Function (epochs, callbacks) that trains SimCLR on images (n, h, w, c), with the sizes of the kit's encoder."""
    x = torch.as_tensor(x).permute(0, 3, 1, 2).contiguous()
    channels, layers = [x.shape[1], 16, 32, 64], []
    for seen, made in itertools.pairwise(channels):
        layers += [nn.Conv2d(seen, made, 3, 2, 1, bias=False), nn.BatchNorm2d(made), nn.ReLU()]
    layers += [nn.Flatten(), nn.Linear(1024, 128, bias=False), nn.BatchNorm1d(128), nn.ReLU()]
    layers += [nn.Linear(128, 256, bias=False), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 128)]
    model = nn.Sequential(*layers).to(memory_format=torch.channels_last)

    def loss_of(images, _):
        with torch.no_grad():
            both = torch.cat([views(images, kind), views(images, kind)])
        return loss(*model(both.to(memory_format=torch.channels_last)).chunk(2))

    epoch = train(model.parameters(), loss_of, x, None, batch)

    def fit(epochs, callbacks):
        for each in range(epochs):
            callbacks[0].on_train_begin() if each == 0 else None
            callbacks[0].on_epoch_begin(each)
            epoch()
            callbacks[0].on_epoch_end(each)

    return fit


def of_lightly(name, **options):
    """The loss of lightly that corresponds to one of the kit."""
    from lightly import loss as losses

    made = {
        "nt_xent": lambda: losses.NTXentLoss(**options),
        "barlow_twins": losses.BarlowTwinsLoss,
        "byol": losses.NegativeCosineSimilarity,
        "vicreg": losses.VICRegLoss,
    }[name]()
    return (lambda za, zb: made(za, zb.detach())) if name == "byol" else made


def nt_xent(za, zb, temperature=0.5):
    z = F.normalize(torch.cat([za, zb]))
    n = len(za)
    similarity = (z @ z.T / temperature).fill_diagonal_(-float("inf"))
    return F.cross_entropy(similarity, torch.cat([torch.arange(n, 2 * n), torch.arange(n)]))


def barlow_twins(za, zb, redundancy_weight=0.005):
    (n, d), scaled = za.shape, [(z - z.mean(0)) / (z.var(0, unbiased=False) + 1e-5).sqrt() for z in (za, zb)]
    c = scaled[0].T @ scaled[1] / n
    off = c.flatten()[:-1].view(d - 1, d + 1)[:, 1:]
    return (torch.diagonal(c) - 1).pow(2).sum() + redundancy_weight * off.pow(2).sum()


def byol(prediction, target):
    return (2 - 2 * F.cosine_similarity(prediction, target.detach(), dim=-1)).mean()


def vicreg(za, zb):
    total = 25 * F.mse_loss(za, zb)
    for z in (za, zb):
        n, d = z.shape
        centered = z - z.mean(0)
        covariance = centered.T @ centered / (n - 1)
        off = covariance.flatten()[:-1].view(d - 1, d + 1)[:, 1:]
        total = total + 12.5 * F.relu(1 - (z.var(0) + 1e-4).sqrt()).mean() + off.pow(2).sum() / d
    return total


def loss(name, za, zb, calls, lightly=False):
    found = of_lightly(name) if lightly else globals()[name]
    arrays = [torch.tensor(each, requires_grad=True) for each in (za, zb)]

    def run():
        for _ in range(calls):
            for each in arrays:
                each.grad = None
            value = found(*arrays)
            value.backward()
        return float(value.detach())

    return run
