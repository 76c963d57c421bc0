"""Report on a folder of images or a file of arrays: what is in it, what is wrong, what would be refused later."""

import collections
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from tf_kit.checks import refuse
from tf_kit.data import array_files, folder, pictures
from tf_kit.data.array_files import is_array_file
from tf_kit.data.copies import first_of, originals
from tf_kit.data.darkness import darkness
from tf_kit.data.fingerprint import of_images
from tf_kit.data.layout import Layout, lay_out
from tf_kit.data.listing import list_files, names_below, some
from tf_kit.data.owners import PARTS
from tf_kit.data.pictures import Head, clean
from tf_kit.errors import InputError

_SIDE = 64  # pixels, at which images are decoded for their perceptual hash
_NEAR = 4  # bits of 64 in which the hashes of near duplicates may differ
_BYTES = 8  # of a hash, each the key of a bucket
_OF_DAMAGED = "training, until the damaged files are repaired or removed; then check again"


@dataclasses.dataclass(frozen=True)
class Report:
    """Report on a folder of images, or a file of arrays, whose examples count as images.

    Args:
        folder: path of the folder or file.
        images: number of images that can be read.
        classes: number of images of each class, by part; with one entry "" for images without classes.
        sizes: number of images of each size "height×width", the most frequent first.
        modes: number of images of each mode of Pillow.
        formats: number of images of each format, by content.
        damaged: file → what is wrong with it.
        duplicates: groups of files with equal content.
        near_duplicates: groups of files that look alike, without those with equal content.
        passed: reason → files that are passed over.
        links: links to folders that are not followed.
        notes: what is unusual, each in one line.
        refusals: what a command would refuse, each in one line: of any use, or of labels. While files are damaged,
            the numbers of images are not judged.
    """

    folder: str
    images: int
    classes: dict[str, dict[str, int]]
    sizes: dict[str, int]
    modes: dict[str, int]
    formats: dict[str, int]
    damaged: dict[str, str]
    duplicates: list[list[str]]
    near_duplicates: list[list[str]]
    passed: dict[str, list[str]]
    links: list[str]
    notes: list[str]
    refusals: list[str]

    @property
    def is_usable(self) -> bool:
        """Whether nothing is damaged and nothing would be refused."""
        return not (self.damaged or self.refusals)

    def to_json(self) -> str:
        """Return the report as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        parts = [part for part in PARTS if any(part in each for each in self.classes.values())] or ["images"]
        lines = [f"{self.folder}: {self.images:,} images" + _classes(self.classes)]
        for name, counts in self.classes.items():
            numbers = ", ".join(f"{part} {counts[part]:,}" for part in parts if part in counts)
            lines.append(f"  {name or 'without class'}: {numbers or 0}")
        for title, counts in (("sizes", self.sizes), ("modes", self.modes), ("formats", self.formats)):
            lines.append(f"{title}: {some(f'{each} {n:,}' for each, n in counts.items())}")
        for title, groups in (("duplicates", self.duplicates), ("near duplicates", self.near_duplicates)):
            lines += [f"{title}: {len(groups):,} group{'s' * (len(groups) > 1)}"] if groups else []
            lines += [f"  {some(group)}" for group in groups[:10]]
        lines += [f"damaged: {len(self.damaged):,}"] if self.damaged else []
        lines += [f"  {name}: {reason}" for name, reason in list(self.damaged.items())[:20]]
        lines += [
            f"passed over: {len(names):,} {reason}: {some(names)}" for reason, names in self.passed.items()
        ]
        lines += [f"links not followed: {some(self.links)}"] if self.links else []
        lines += [f"note: {note}" for note in self.notes]
        lines += [f"refused: {each}" for each in self.refusals] or ["nothing would be refused"]
        return "\n".join(lines)


def check(
    path: str | Path, *, unlabeled: bool = False, labels_file: str | Path | None = None, near: bool = True
) -> Report:
    """Look at every image of a folder or example of a file of arrays, and report what training on it would find.

    All pixels are decoded, so truncated files are found too. Images look alike if their perceptual hashes, 64 bits
    from the low frequencies of the image, differ in few bits: copies in another size or quality, but no crops.

    Args:
        path: the folder, or a `.npy` or `.npz` file.
        unlabeled, labels_file: as for `load`.
        near: whether to look for near duplicates. Defaults to True.

    Returns:
        `Report`; `print` shows it as text, `.to_json()` returns it as JSON.

    Raises:
        InputError: the folder cannot be read.

    Reference: Zauner, 2010, Implementation and benchmarking of perceptual image hash functions, section 3.2.1.
    """
    if not str(path).strip():
        refuse(
            "check.path",
            "be a folder or a file of arrays",
            "an empty name",
            'The current folder is "."',
            flag="FOLDER",
        )
    if is_array_file(path):
        return _check_arrays(Path(path).expanduser(), unlabeled, labels_file, near)
    root = Path(path).expanduser()
    listing = list_files(root)
    refusals: list[str] = []
    notes: list[str] = []
    names = list(map(clean, names_below(root, listing.files)))
    looks = _look_at_all(listing.files, near)
    heads = [look[0] for look in looks if look[0] is not None]
    damaged = {name: look[1] for name, look in zip(names, looks, strict=True) if look[1]}
    layout = None
    for needs_labels in (False, True):
        try:
            found = lay_out(listing, unlabeled=unlabeled, labels_file=labels_file, needs_labels=needs_labels)
            layout = layout or found
            if needs_labels and found.class_names and not damaged:
                folder.check_classes(folder.scan(path, unlabeled=unlabeled, labels_file=labels_file))
            elif not damaged:
                folder.scan(path, unlabeled=unlabeled, labels_file=labels_file, needs_labels=False)
        except InputError as error:
            refusals.append(_line(error))
    notes += layout.notes if layout else []
    readable = [file for file, look in zip(listing.files, looks, strict=True) if look[0] is not None]
    notes += darkness(readable, heads)
    hashes = list(of_images(root, listing.files).entries.values())
    groups = _groups(originals(listing.files, hashes))
    duplicates = [[names[i] for i in group] for group in groups]
    alike = (
        _alike({i: look[2] for i, look in enumerate(looks) if look[2] is not None}, groups) if near else []
    )
    if layout is not None:
        notes += _crossing(layout, listing.files, groups)
    return Report(
        folder=clean(root),
        images=len(listing.files) - len(damaged),
        classes=_counts(layout, set(readable)) if layout else {},
        sizes=_frequent(f"{head.size[0]}×{head.size[1]}" for head in heads),
        modes=_frequent(head.mode for head in heads),
        formats=_frequent(head.format for head in heads),
        damaged=damaged,
        duplicates=duplicates,
        near_duplicates=[[names[i] for i in group] for group in alike],
        passed={reason: list(files) for reason, files in listing.passed.items()},
        links=list(listing.links),
        notes=notes,
        refusals=[*dict.fromkeys(refusals), *([_OF_DAMAGED] if damaged else [])],
    )


def _check_arrays(path, unlabeled, labels_file, near) -> Report:
    """Report on a file of arrays; its examples are named by their places, as `x.npz[3]`."""
    try:
        found = array_files.read(path, unlabeled=unlabeled, labels_file=labels_file)
    except InputError as error:
        return Report(clean(path), 0, {}, {}, {}, {}, {}, [], [], {}, [], [], [_line(error)])
    refusals = []
    if found.class_names:
        try:
            folder.check_classes(found)
        except InputError as error:
            refusals.append(_line(error))
    groups = _groups(first_of(array_files.prints(found)))
    hashes: dict[int, int] = {}
    if near and len(found.shape) == 3:
        hashes = {i: each for i, x in _each(found) if (each := perceptual_hash(_small(x))) is not None}
    names = [f"{path.name}[{i}]" for i in range(len(found))]
    as_layout = Layout(tuple(map(Path, names)), found.y, found.class_names, found.part, found.notes)
    shape = found.shape
    return Report(
        folder=clean(path),
        images=len(found),
        classes=_counts(as_layout, set(as_layout.files)),
        sizes={"×".join(map(str, shape[:2])): len(found)},
        modes={{1: "grey", 3: "rgb"}[shape[2]] if len(shape) == 3 else "vectors": len(found)},
        formats={path.suffix.lower()[1:]: len(found)},
        damaged={},
        duplicates=[[names[i] for i in group] for group in groups],
        near_duplicates=[[names[i] for i in group] for group in _alike(hashes, groups)],
        passed={},
        links=[],
        notes=[*found.notes, *_crossing(as_layout, as_layout.files, groups)],
        refusals=refusals,
    )


def _each(found):
    """Yield the index and the image of every example of a file of arrays."""
    for indices, x in found.in_pieces():
        yield from zip(indices.tolist(), x, strict=True)


def _small(x):
    """Pixels 0 … 255 of an image (h, w, c) in grey, at the size for its perceptual hash."""
    from PIL import Image

    grey = Image.fromarray(
        np.round(255 * x[..., 0] if x.shape[-1] == 1 else 255 * x).astype("uint8")
    ).convert("L")
    return np.asarray(grey.resize((_SIDE, _SIDE)))


def _look_at_all(files, near) -> list[tuple[Head | None, str, int | None]]:
    """Head, damage and perceptual hash of each file."""

    def look(i):
        try:
            head = pictures.read_head(files[i])
            pixels = pictures.decode(files[i], (_SIDE, _SIDE, 1))
        except InputError as error:
            return None, error.received, None
        return head, "", perceptual_hash(pixels[..., 0]) if near else None

    return pictures.in_parallel(look, len(files), "checking images")


def perceptual_hash(pixels: np.ndarray) -> int | None:
    """Compute 64 bits from the 8×8 lowest frequencies of a grey image; None if it is of one color.

        C = D X Dᵀ,   b_uv = [C_uv > median of C]                        (1)

    where X (n, n) are the pixels and D the first 8 rows of the discrete cosine transform.

    Example:
        >>> picture = 255 * np.random.default_rng(0).random((8, 8)).repeat(8, axis=0).repeat(8, axis=1)
        >>> darker, other = picture // 2 + 30, picture[::-1]
        >>> (perceptual_hash(picture) ^ perceptual_hash(darker)).bit_count() <= 4
        True
        >>> (perceptual_hash(picture) ^ perceptual_hash(other)).bit_count() <= 4
        False
    """
    if np.ptp(pixels) < 8:
        return None
    n = len(pixels)
    rows = np.cos(np.pi / n * np.outer(np.arange(8), np.arange(n) + 0.5))
    low = (rows @ pixels.astype("float64") @ rows.T).ravel()  # (1)
    bits = low > np.median(low)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _alike(hashes, exact):
    """Groups of indices whose hashes differ in few bits, without those in which all files are equal.

    Two hashes that differ in fewer bits than they have bytes have a byte in common, so only these are compared.
    """
    same = {i: group[0] for group in exact for i in group}
    lead = {i: i for i in hashes}

    def root(i):
        while lead[i] != i:
            lead[i] = lead[lead[i]]
            i = lead[i]
        return i

    buckets = collections.defaultdict(list)
    seen: dict[int, int] = {}
    for i, value in hashes.items():
        if value in seen:
            lead[root(i)] = root(seen[value])
            continue
        seen[value] = i
        for place in range(_BYTES):
            key = (place, value >> (8 * place) & 255)
            for j in buckets[key]:
                if (value ^ hashes[j]).bit_count() <= _NEAR:
                    lead[root(i)] = root(j)
            buckets[key].append(i)
    groups = collections.defaultdict(list)
    for i in hashes:
        groups[root(i)].append(i)
    return [group for group in groups.values() if len({same.get(i, -1 - i) for i in group}) > 1]


def _groups(original):
    groups = collections.defaultdict(list)
    for i, first in enumerate(original.tolist()):
        groups[first].append(i)
    return [group for group in groups.values() if len(group) > 1]


def _crossing(layout: Layout, files, groups):
    """Note equal files that are in several classes, or in train and in another part."""
    place = {file: i for i, file in enumerate(layout.files)}
    classes = parts = 0
    for group in groups:
        kept = [place[files[i]] for i in group if files[i] in place]
        classes += layout.y is not None and len({int(layout.y[i]) for i in kept}) > 1
        parts += layout.part is not None and len({int(layout.part[i]) for i in kept}) > 1
    found = {"classes": classes, "parts": parts}
    return [
        f"{n:,} groups of equal files are in several {places}" if n > 1 else f"a file is in several {places}"
        for places, n in found.items()
        if n
    ]


def _counts(layout: Layout, readable):
    """Class → part → number of readable images; the part is "images" if the folder is not divided."""
    y = np.full(len(layout.files), -1) if layout.y is None else layout.y
    y = np.where([file in readable for file in layout.files], y, -2)
    found: dict[str, dict[str, int]] = {}
    for c, name in [*enumerate(layout.class_names), (-1, "")]:
        if layout.part is None:
            counts = {"images": int((y == c).sum())}
        else:
            counts = {part: int(((y == c) & (layout.part == k)).sum()) for k, part in enumerate(PARTS)}
        if name or any(counts.values()):
            found[name] = {part: n for part, n in counts.items() if n}
    return found


def _classes(classes):
    n = sum(bool(name) for name in classes)
    return f" in {n:,} class{'es' * (n != 1)}" if n else " without classes"


def _frequent(values) -> dict[str, int]:
    return dict(collections.Counter(values).most_common())


def _line(error: InputError) -> str:
    remedy: Any = error.remedy if error.typed_remedy is None else error.typed_remedy
    line = f"{error.subject} must {error.requirement}. Received: {error.received}."
    return f"{line} {remedy}." if remedy else line
