"""Forty folders and files, and how the kit, Keras and torchvision read each: `python tests/benchmarks/folders.py`.

Each case is a folder made here. Its right reading is known: the classes and the number of images, and for a file its
pixels. `image_dataset_from_directory` and `ImageFolder` get the folder that the kit gets, and Keras `labels=None` where
it finds no classes. A cell is "right", "refused" (with the file or folder at fault by name, or "without its name"), or
names the reading that was made of it in silence.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image

SIDE = 16
REFUSED = "a refusal that names it"
PETS = {"cat/*.png": 4, "dog/*.png": 4}

# name: (files, classes, images), with classes None for a refusal and () for images without classes
LAYOUTS = {
    "a subfolder per class": (PETS, ("cat", "dog"), 8),
    "no subfolder": ({"*.png": 8}, (), 8),
    "classes in deeper folders": ({"cat/a/b/*.png": 4, "dog/*.png": 4}, ("cat", "dog"), 8),
    "a folder around all": ({"pets/cat/*.png": 4, "pets/dog/*.png": 4}, ("cat", "dog"), 8),
    "train, val, test": (
        {f"{p}/{c}/*.png": 3 for p in ("train", "val", "test") for c in ("cat", "dog")},
        ("cat", "dog"),
        18,
    ),
    "Training, Testing": (
        {f"{p}/{c}/*.png": 4 for p in ("Training", "Testing") for c in ("cat", "dog")},
        ("cat", "dog"),
        16,
    ),
    "parts below the classes": (
        {f"{c}/{p}/*.png": 4 for p in ("train", "test") for c in ("cat", "dog")},
        ("cat", "dog"),
        16,
    ),
    "a subfolder unlabeled": (PETS | {"unlabeled/*.png": 4}, ("cat", "dog"), 12),
    "hidden folder of a notebook": (PETS | {".ipynb_checkpoints/*.png": 3}, ("cat", "dog"), 8),
    "__MACOSX of an archive": (PETS | {"__MACOSX/cat/._*.png": 2}, ("cat", "dog"), 8),
    "an empty subfolder": (PETS | {"empty/": 0}, None, 0),
    "a subfolder of notes": (PETS | {"notes/readme.txt": 1}, ("cat", "dog"), 8),
    "a link back to the top": (PETS | {"cat/up": "link"}, ("cat", "dog"), 8),
    "spaces and umlauts": (
        {"große Katze/*.png": 4, "Hündchen (klein)/*.png": 4},
        ("Hündchen (klein)", "große Katze"),
        8,
    ),
    "images next to class folders": (PETS | {"stray.png": 1}, None, 0),
    "one class only": ({"cat/*.png": 8}, None, 0),
    "a class of one image": (PETS | {"elk/*.png": 1}, None, 0),
    "nothing but texts": ({"cat/a.txt": 1, "dog/b.txt": 1}, None, 0),
}


def picture(mode="RGB"):
    """Red above, blue below, green at the left: every orientation looks different."""
    pixels = np.empty((64, 64, 3), "uint8")
    pixels[:32], pixels[32:], pixels[:, :16] = (200, 30, 30), (30, 30, 200), (30, 180, 30)
    return Image.fromarray(pixels).convert(mode)


def sixteen_bits(path):
    Image.fromarray(np.asarray(picture("L")).astype("uint16") * 257).save(path)


def turned(path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned, to be turned back by 90 degrees to the right
    picture().transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)


def animated(path):
    picture().save(path, save_all=True, append_images=[Image.new("RGB", (64, 64))], duration=50)


def cut(path):
    picture().resize((400, 400)).save(path, quality=95)
    path.write_bytes(path.read_bytes()[:3000])


def saved(mode="RGB", **options):
    return lambda path: picture(mode).save(path, **options)


GREY = "grey"
# name: (file, writer, color of the right reading or REFUSED or None for a file to be passed over)
FILES = {
    "PNG": ("x.png", saved(), "rgb"),
    "JPEG, upper case": ("X.JPEG", saved(quality=95), "rgb"),
    "progressive JPEG": ("x.jpg", saved(quality=95, progressive=True), "rgb"),
    "JPEG turned by EXIF": ("x.jpg", turned, "rgb"),
    "JPEG in CMYK": ("x.jpg", saved("CMYK", quality=95), "rgb"),
    "grey JPEG": ("x.jpg", saved("L", quality=95), GREY),
    "PNG with a palette": ("x.png", saved("P"), "rgb"),
    "PNG with alpha": ("x.png", saved("RGBA"), "rgb"),
    "grey PNG of 16 bits": ("x.png", sixteen_bits, GREY),
    "grey TIFF of 16 bits": ("x.tif", sixteen_bits, GREY),
    "TIFF": ("x.tiff", saved(), "rgb"),
    "WebP": ("x.webp", saved(lossless=True), "rgb"),
    "AVIF": ("x.avif", saved(quality=95), "rgb"),
    "BMP": ("x.bmp", saved(), "rgb"),
    "PPM": ("x.ppm", saved(), "rgb"),
    "animated GIF, its first picture": ("x.gif", animated, "rgb"),
    "PNG named .jpg": ("x.jpg", saved(format="PNG"), "rgb"),
    "name with spaces and umlauts": ("Über den Wolken 1.png", saved(), "rgb"),
    "a text between the images": ("notes.txt", lambda path: path.write_text("a note"), None),
    "Apple's ._x.png": ("._x.png", lambda path: path.write_bytes(b"\0\5\26\7"), None),
    "empty PNG": ("x.png", lambda path: path.write_bytes(b""), REFUSED),
    "JPEG cut off": ("x.jpg", cut, REFUSED),
}


def build(root, files):
    """Write the images of a layout, each with other pixels, since copies are noticed."""
    rng = np.random.default_rng(0)
    for name, number in files.items():
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if number == "link":
            path.symlink_to("..")
        elif path.suffix == ".txt":
            path.write_text("a note")
        elif number:
            for i in range(number):
                Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype="uint8")).save(
                    root / name.replace("*", str(i))
                )


def read_kit(root):
    """Return classes, paths and images of a folder, as each of the three readers does."""
    from tf_kit.data import folder as kit

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = kit.scan(root, (SIDE, SIDE), color="rgb")
    if found.class_names:
        kit.check_classes(found)  # as fine-tuning does
    return found.class_names, list(found.files), kit.read_images(found, np.arange(len(found)))


def read_keras(root):
    import keras

    how = {"image_size": (SIDE, SIDE), "batch_size": None, "shuffle": False, "verbose": False}
    try:
        images = keras.utils.image_dataset_from_directory(root, **how)
        classes = tuple(images.class_names)
        x = [image for image, _ in images.as_numpy_iterator()]
    except ValueError:
        images, classes = keras.utils.image_dataset_from_directory(root, labels=None, **how), ()
        x = list(images.as_numpy_iterator())
    return classes, [Path(each) for each in images.file_paths], np.array(x) / 255


def read_torchvision(root):
    from torchvision.datasets import ImageFolder

    images = ImageFolder(
        root, lambda image: np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)) / 255
    )
    return tuple(images.classes), [Path(path) for path, _ in images.samples], np.array([x for x, _ in images])


READERS = {"tf_kit": read_kit, "Keras": read_keras, "torchvision": read_torchvision}


def attempt(read, root, *culprits):
    """Return what a reader returns, or the word for its refusal."""
    try:
        with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
            return read(root)
    except ImportError:
        return "not installed"
    except Exception as error:
        return f"refused{'' if any(each in str(error) for each in culprits) else ' without its name'}"


def layout_cell(read, root, classes, number):
    found = attempt(read, root, str(root))
    if isinstance(found, str):
        return "right" if classes is None and found == "refused" else found
    got, files, _ = found
    if classes is not None and (tuple(got), len(files)) == (classes, number):
        return "right"
    text = f"{len(files)} images"
    return text + (
        f" in {len(got)} class{'es' * (len(got) > 1)}: {', '.join(got)}" if got else " without classes"
    )


def file_cell(read, root, path, color):
    found = attempt(read, root, path.name)
    if isinstance(found, str):
        return "right" if color == REFUSED and found == "refused" else found
    _, files, x = found
    index = [i for i, each in enumerate(files) if each.name == path.name]
    if color is None or not index:
        return "right" if color is None and not index else "left out in silence"
    if color == REFUSED:
        return "read as if whole"
    wanted = (
        picture("L" if color == GREY else "RGB")
        .convert("RGB")
        .resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    )
    error = np.abs(x[index[0]] - np.asarray(wanted) / 255).mean()
    return "right" if error < 0.06 else f"other pixels, by {error:.2f} of white"


def column(read):
    """Map each case to the cell of a reader."""
    cells = {}
    with tempfile.TemporaryDirectory() as place:
        for i, (name, (files, classes, number)) in enumerate(LAYOUTS.items()):
            root = Path(place) / str(i)
            root.mkdir()
            build(root, files)
            cells[name] = layout_cell(read, root, classes, number)
        for name, (file, write, color) in FILES.items():
            root = Path(place) / "file"
            build(root, PETS)
            write(root / "cat" / file)
            cells[name] = file_cell(read, root, root / "cat" / file, color)
            shutil.rmtree(root)
    return cells


def columns():
    """Map each reader to its column, from a process each, since TensorFlow and PyTorch in one crash."""
    found = {}
    for who in READERS:
        command = [sys.executable, __file__, who]
        found[who] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def rank(cell):
    """2 for a right reading, 1 for a refusal by name, 0 for a refusal without, −1 for another reading."""
    return {"right": 2, "refused": 1, "refused without its name": 0}.get(cell, -1)


def main():
    if sys.argv[1:]:
        print(json.dumps(column(READERS[sys.argv[1]])))
        return
    found = columns()
    cases = [*LAYOUTS, *FILES]
    print(f"| folder or file | {' | '.join(READERS)} |\n| --- |{' --- |' * len(READERS)}")
    for case in cases:
        print(f"| {case} | {' | '.join(cells[case] for cells in found.values())} |")
    right = {who: sum(cell == "right" for cell in cells.values()) for who, cells in found.items()}
    print(f"\n{len(cases)} cases; right: {', '.join(f'{who} {n}' for who, n in right.items())}")
    best = {case: max(rank(cells[case]) for cells in found.values()) for case in cases}
    worse = [case for case in cases if rank(found["tf_kit"][case]) < best[case]]
    print(f"tf_kit is not the best in: {', '.join(worse) or 'none'}")


if __name__ == "__main__":
    main()
