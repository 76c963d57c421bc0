"""Table of the folders that people have, and how each is read: classes, parts, and files that are passed over."""

import os
import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

from tf_kit.data import array_files, folder, load
from tf_kit.data.labels_file import class_names, read_labels
from tf_kit.data.layout import lay_out
from tf_kit.data.listing import list_files
from tf_kit.errors import InputError


@pytest.fixture
def make(tmp_path):
    """Write files by a short description: "cat/*.png 6" is six images; "cat/b.png = cat/a.png" is a copy."""
    rng = np.random.default_rng(0)

    def one(path, mode="RGB"):
        path.parent.mkdir(parents=True, exist_ok=True)
        suffix = path.suffix.lower()
        if suffix in (".txt", ".csv", ".heic", ".mp4", ".xml", ".json", ".toml", ".pbtxt"):
            path.write_text("no image")
            return
        shape = (5, 4, 3) if mode == "RGB" else (5, 4)
        image = Image.fromarray(rng.integers(0, 256, shape, dtype="uint8"))
        image.save(path, "PNG" if not suffix else None)

    def write(*lines):
        root = tmp_path / "data"
        root.mkdir()
        for line in lines:
            name, _, rest = line.partition(" ")
            if name.endswith("/"):
                (root / name).mkdir(parents=True)
            elif rest.startswith("="):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(root / rest[2:], root / name)
            elif rest.startswith("->"):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                os.symlink(rest[3:], root / name)
            elif "*" in name:
                for i in range(int(rest)):
                    one(root / name.replace("*", f"{i:02}"))
            else:
                one(root / name, rest or "RGB")
        return root

    return write


def parts_of(root, **how):
    """Classes, and labelled and unlabelled images of train, then images of val and test."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train, val, test = load(str(root), **how)
    for split in (train, val, test):
        assert len(split) == 0 or (split.y >= 0).all()
    sizes = (len(train), len(train.unlabelled_x), len(val.all_x), len(test.all_x))
    return train.class_names, sizes, " ".join(str(each.message) for each in caught)


TWO = ("cat", "dog")
# (description, files, arguments, classes, (labelled, unlabelled, val, test), words of the warning)
READ = [
    ("flat", ["*.png 12"], {}, (), (0, 8, 2, 2), ""),
    ("flat with a note", ["*.png 12", "notes.txt"], {}, (), (0, 8, 2, 2), ""),
    ("a subfolder per class", ["cat/*.png 6", "dog/*.png 6"], {}, TWO, (8, 0, 2, 2), ""),
    ("classes at different depths", ["cat/a/b/*.png 6", "dog/*.png 6"], {}, TWO, (8, 0, 2, 2), ""),
    ("an archive's folder around all", ["pets/cat/*.png 6", "pets/dog/*.png 6"], {}, TWO, (8, 0, 2, 2), ""),
    ("only a folder train", ["train/cat/*.png 6", "train/dog/*.png 6"], {}, TWO, (8, 0, 2, 2), ""),
    ("train, val, test", ["train/cat/*.png 3", "train/dog/*.png 2", "val/cat/*.png 1", "val/dog/*.png 1",
                          "test/cat/*.png 2", "test/dog/*.png 2"], {}, TWO, (5, 0, 2, 4), ""),
    ("Training and Testing", ["Training/cat/*.png 6", "Training/dog/*.png 6", "Testing/cat/*.png 3",
                              "Testing/dog/*.png 3"], {}, TWO, (10, 0, 2, 6), ""),
    ("train2017 and val2017", ["train2017/cat/*.png 6", "train2017/dog/*.png 6", "val2017/cat/*.png 1",
                               "val2017/dog/*.png 1"], {}, TWO, (10, 0, 2, 2), ""),
    ("flat train2017 and val2017", ["train2017/*.png 12", "val2017/*.png 4"], {}, (), (0, 10, 4, 2), ""),
    ("a common word", ["seg_train/cat/*.png 6", "seg_train/dog/*.png 6", "seg_test/cat/*.png 2",
                       "seg_test/dog/*.png 2"], {}, TWO, (10, 0, 2, 4), ""),
    ("trainset, devset, testset", ["trainset/cat/*.png 2", "trainset/dog/*.png 2", "devset/cat/*.png 1",
                                   "testset/dog/*.png 1"], {}, TWO, (4, 0, 1, 1), ""),
    ("TRAIN_IMAGES and VALIDATION_IMAGES", ["TRAIN_IMAGES/cat/*.png 3", "TRAIN_IMAGES/dog/*.png 3",
                                            "VALIDATION_IMAGES/cat/*.png 3"], {}, TWO, (4, 0, 3, 2), ""),
    ("parts below the classes", ["cat/train/*.png 3", "cat/test/*.png 2", "dog/train/*.png 3",
                                 "dog/test/*.png 2"], {}, TWO, (4, 0, 2, 4), ""),
    ("a folder around the classes of each part", ["train/images/cat/*.png 6", "train/images/dog/*.png 6",
     "test/images/cat/*.png 2", "test/images/dog/*.png 2"], {}, TWO, (10, 0, 2, 4), ""),
    ("parts around themselves", ["in/seg_train/seg_train/cat/*.png 6", "in/seg_train/seg_train/dog/*.png 6",
     "in/seg_test/seg_test/cat/*.png 2"], {}, TWO, (10, 0, 2, 2), ""),
    ("a folder around the classes of train", ["train/a/b/cat/*.png 6", "train/a/b/dog/*.png 6", "val/cat/*.png 2"],
     {}, TWO, (10, 0, 2, 2), ""),
    ("a test of one class that has folders", ["train/cat/*.png 6", "train/dog/*.png 6", "test/dog/pug/*.png 2"], {},
     TWO, (10, 0, 2, 2), ""),
    ("a test without classes", ["train/cat/*.png 6", "train/dog/*.png 6", "test/*.png 5"], {}, TWO, (8, 0, 2, 2),
     "5 images for validation or test left out, since they have no classes"),
    ("classes that are called train", ["train/*.png 6", "bus/*.png 6"], {}, ("bus", "train"), (8, 0, 2, 2), ""),
    ("a subfolder unlabeled", ["cat/*.png 6", "dog/*.png 6", "unlabeled/*.png 7"], {}, TWO, (8, 7, 2, 2), ""),
    ("train and unsup", ["train/cat/*.png 6", "train/dog/*.png 6", "unsup/*.png 5", "test/cat/*.png 2"], {}, TWO,
     (10, 5, 2, 2), ""),
    ("a tree by date", ["2023/01/*.png 6", "2024/02/*.png 6"], {"unlabeled": True}, (), (0, 8, 2, 2), ""),
    ("classes that are ignored", ["cat/*.png 6", "dog/*.png 6"], {"unlabeled": True}, (), (0, 8, 2, 2), ""),
    ("a single class that is ignored", ["cat/*.png 12"], {"unlabeled": True}, (), (0, 8, 2, 2), ""),
    ("a divided tree without classes", ["train/cat/*.png 12", "test/dog/*.png 5"], {"unlabeled": True}, (),
     (0, 10, 2, 5), ""),
    ("a link back", ["a/*.png 6", "b/*.png 6", "a/up -> .."], {}, ("a", "b"), (8, 0, 2, 2),
     "1 link not followed: a/up"),
    ("a link to a sibling", ["a/*.png 6", "b/*.png 6", "c -> a"], {}, ("a", "b"), (8, 0, 2, 2), "not followed: c"),
    ("a link to nothing", ["a/*.png 6", "b/*.png 6", "a/x.png -> gone.png"], {}, ("a", "b"), (8, 0, 2, 2),
     "1 file passed over: 1 links to nothing"),
    ("formats that Pillow reads", ["a.webp", "b.tiff", "c.avif", "d.ppm", "e.PGM L", "f.jp2", "g.tga", "h.jfif",
                                   "i.bmp", "j.gif", "k.ico", "l.TIF"], {}, (), (0, 8, 2, 2), ""),
    ("a class of webp only", ["cat/*.webp 6", "dog/*.png 6"], {}, TWO, (8, 0, 2, 2), ""),
    ("images without an ending", ["*.png 11", "plain"], {}, (), (0, 8, 2, 2), ""),
    ("videos among images", ["*.png 12", "*.mp4 2"], {}, (), (0, 8, 2, 2), "2 files passed over: 2 .mp4"),
    ("some HEIC", ["cat/*.png 6", "dog/*.png 6", "dog/x*.heic 2"], {}, TWO, (8, 0, 2, 2), "pillow-heif"),
    ("a folder of notes beside the classes", ["cat/*.png 6", "dog/*.png 6", "docs/a.txt"], {}, TWO, (8, 0, 2, 2), ""),
    ("files of the system", ["*.png 12", ".a.png", "__MACOSX/*.png 3", "Thumbs.db.png"], {}, (), (0, 9, 2, 2), ""),
    ("trainval and test", ["trainval/cat/*.png 6", "trainval/dog/*.png 6", "test/cat/*.png 3"], {}, TWO,
     (10, 0, 2, 3), ""),
    ("train_val and test", ["train_val/cat/*.png 6", "train_val/dog/*.png 6", "test/cat/*.png 3"], {}, TWO,
     (10, 0, 2, 3), ""),
    ("a run beside the classes", ["cat/*.png 6", "dog/*.png 6", "runs/a/config.json", "runs/a/run.toml",
     "runs/a/figures/*.png 3"], {}, TWO, (8, 0, 2, 2), "5 files passed over: 5 of a run"),
    ("a run beside images", ["*.png 12", "config.json", "run.toml", "r/config.json", "r/run.toml", "r/figures/*.png 3"],
     {}, (), (0, 8, 2, 2), "5 of a run"),
    ("a table beside the classes", ["cat/*.png 6", "dog/*.png 6", "t/config.json", "t/deep/config.json",
     "t/deep/results.json", "t/deep/figures/*.png 3"], {}, TWO, (8, 0, 2, 2), "5 of a run, 1 .json"),
    ("a map beside the classes", ["cat/*.png 6", "dog/*.png 6", "map/map.png", "map/sprite.png",
     "map/projector_config.pbtxt"], {}, TWO, (8, 0, 2, 2), "3 files passed over: 3 of a map"),
    ("copies", ["cat/*.png 6", "cat/x.png = cat/00.png", "dog/*.png 6"], {}, TWO, None, ""),
    ("copies in train and test", ["train/cat/*.png 6", "train/dog/*.png 6", "test/cat/a.png = train/cat/00.png",
                                  "test/dog/b.png"], {}, TWO, (10, 0, 2, 2), "1 image of test also in train"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "how", "classes", "sizes", "warned"), [row[1:] for row in READ], ids=[row[0] for row in READ]
)
def test_folder_is_read_as_its_owner_means_it(files, how, classes, sizes, warned, make):
    found, read, warning = parts_of(make(*files), **how)
    assert found == classes
    assert read == sizes or sizes is None
    assert warned in warning
    assert warned or not warning


# (description, files, arguments, words of the refusal)
REFUSED = [
    ("nothing", ["a/"], {}, "hold images"),
    ("no image", ["a.txt", "b.mp4"], {}, "2 files passed over"),
    ("only HEIC", ["*.heic 3"], {}, "pip install pillow-heif"),
    ("images beside classes", ["a.png", "cat/*.png 3"], {}, "`unlabeled=True` takes all"),
    ("a tree by date", ["2023/01/*.png 6", "2024/02/*.png 6"], {}, "`unlabeled=True` takes all"),
    ("days", ["2024-01-31/*.png 6", "2024-02-01/*.png 6"], {}, "Dates are no classes"),
    ("folds", ["fold1/a/*.png 3", "fold1/b/*.png 3", "fold2/a/*.png 3"], {}, "Folds and other portions are no"),
    ("batches", ["Batch_1/*.png 6", "batch-2/*.png 6"], {}, "`labels_file=…` takes a CSV file"),
    ("val and test without train", ["val/cat/*.png 6", "val/dog/*.png 6", "test/cat/*.png 6"], {},
     "the subfolders test, val. Parts for validation and test are no classes"),
    ("val and test without train below the classes", ["cat/val/*.png 6", "cat/test/*.png 6", "dog/val/*.png 6",
     "dog/test/*.png 6"], {}, "the subfolders test, val. Parts for validation and test are no classes"),
    ("val and test beside a class", ["val/*.png 6", "test/*.png 6", "cat/*.png 6"], {}, "Parts for validation and"),
    ("an empty class", ["cat/*.png 6", "dog/*.png 6", "bird/"], {}, r"bird` must hold images .* Received: no file"),
    ("a class of HEIC only", ["cat/*.png 6", "dog/*.png 6", "bird/*.heic 2"], {}, "bird` must .* 2 .heic"),
    ("one class", ["cat/*.png 6"], {}, "two classes or more"),
    ("one class in its parts", ["train/cat/*.png 6", "test/cat/*.png 6"], {},
     "cat.*Without classes: `unlabeled=True`.$"),
    ("an archive's folder around one class", ["pets/cat/*.png 6"], {}, "cat.*Without classes: `unlabeled=True`.$"),
    ("an empty class of a part", ["train/cat/a/*.png 6", "train/dog/"], {}, "dog` must hold images of its class"),
    ("a class of two", ["cat/*.png 6", "dog/*.png 2"], {}, r"dog` must hold at least three images.* Received: 2\."),
    ("a class of copies", ["cat/*.png 6", "dog/a.png", "dog/b.png = dog/a.png", "dog/c.png = dog/a.png"], {},
     r"Received: 1 and 2 copies of it"),
    ("a class of the test only", ["train/cat/*.png 3", "train/dog/*.png 3", "test/cow/*.png 3"], {}, "Received: cow"),
    ("a folder beside train and test", ["train/cat/*.png 3", "test/cat/*.png 3", "scan/*.png 3"], {}, "and scan"),
    ("two files", ["*.png 2"], {}, "at least three images"),
    ("a color that is none", ["*.png 6"], {"color": "red"}, "be one of 'grey', 'rgb'"),
    ("labels and no labels", ["*.png 6"], {"unlabeled": True, "labels_file": "a.csv"}, "be left out with a file"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "how", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_folder_without_a_meaning_is_refused_in_one_line(files, how, message, make):
    with pytest.raises(InputError, match=message) as caught:
        load(str(make(*files)), **how)
    assert "\n" not in str(caught.value)


def test_table_has_forty_rows():
    assert len(READ) + len(REFUSED) >= 40


def test_pipe_among_images_is_passed_over(make):
    root = make("*.png 12")
    os.mkfifo(root / "x.png")
    _, sizes, warning = parts_of(root)
    assert sizes == (0, 8, 2, 2)
    assert "1 file passed over: 1 not a file" in warning


def test_copies_are_in_one_part(make):
    root = make("cat/*.png 12", "dog/*.png 12", *(f"cat/x{i:02}.png = cat/{i:02}.png" for i in range(12)))
    for seed in range(5):
        train, val, test = load(str(root), seed=seed)
        kept = [{x.tobytes() for x in split.x} for split in (train, val, test)]
        assert not kept[0] & kept[1]
        assert not (kept[0] | kept[1]) & kept[2]
        assert sum(len(split) for split in (train, val, test)) == 36


def test_owners_parts_hold_the_owners_files(make):
    root = make("train/cat/*.png 4", "train/dog/*.png 4", "val/cat/*.png 3", "test/dog/*.png 3")
    found = folder.scan(root)
    for name, part in zip(("train", "val", "test"), folder.parts(found, seed=1), strict=True):
        assert {found.files[i].relative_to(root).parts[0] for i in part} == {name}


def test_summary_counts_images_classes_and_files(make):
    root = make(
        "cat/*.png 6", "dog/*.png 6", "cat/a.txt", "cat/b.txt", "dog/c.heic", "dog/x.png = dog/00.png"
    )
    line = folder.scan(root).summary
    assert line == (
        "13 images in 2 classes, 5×4 rgb; 1 copy of others, kept in the same part; "
        "3 files passed over: 2 .txt, 1 .heic (`pip install pillow-heif` reads .heic)"
    )


@pytest.mark.parametrize(
    ("rows", "classes", "sizes"),
    [
        ("file,label\n00.png,cat\n01.png,cat\n02.png,cat\n03.png,dog\n04.png,dog\n05.png,dog\n", TWO, (2, 6, 2, 2)),
        ("00.png;cat\n01.png;cat\n02.png;cat\n03.png;dog\n04.png;dog\n05.png;dog\n", TWO, (2, 6, 2, 2)),
        ("id\tbreed\n00\tcat\n01\tcat\n02\tcat\n03\tdog\n04\tdog\n05\tdog\n", TWO, (2, 6, 2, 2)),
        ("label,image\n10,./00.png\n10,01.png\n10,02.png\n9,03.png\n9,04.png\n9,05.png\n\n", ("9", "10"), (2, 6, 2, 2)),
        ("file,label,split\n00.png,cat,train\n01.png,dog,train\n02.png,cat,val\n03.png,dog,test\n04.png,,\n", TWO,
         (2, 8, 1, 1)),
        ("sep=;\nlabel;file\ncat;00.png\ncat;01.png\ncat;02.png\ndog;03.png\ndog;04.png\ndog;05.png\n", TWO,
         (2, 6, 2, 2)),
        ("sep=;\r\nfile;label;split\r\n00.png;cat;train\r\n01.png;dog;train\r\n02.png;cat;val\r\n03.png;dog;test\r\n",
         TWO, (2, 8, 1, 1)),
        ("file|label\n00.png|cat\n01.png|cat\n02.png|cat\n03.png|dog\n04.png|dog\n05.png|dog\n", TWO, (2, 6, 2, 2)),
        ("\ufefffile,label\n" + "".join(f"{i:02}.png,{'cat' if i < 6 else 'dog'}\n" for i in range(12)), TWO,
         (8, 0, 2, 2)),
    ],
)  # fmt: skip
def test_labels_file(rows, classes, sizes, make, tmp_path):
    root = make("*.png 12")
    labels = tmp_path / "labels.csv"
    labels.write_text(rows, encoding="utf-8")
    found, read, _ = parts_of(root, labels_file=labels)
    assert (found, read) == (classes, sizes)


PARTS_REQUIRED = "hold train, val, test, unlabeled or nothing in each row of its column"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("file,label\nz.png,cat\n", "1 rows, none for the images in .*z.png"),
        ("00.png,cat\n00.png,dog\n", "00.png as cat and, in row 2, as dog"),
        ("00.png\n", "row 1: 00.png"),
        ("same.png,cat\n", "the name of 2 images"),
        ("", "0 rows"),
        ("image,MEL,NV\n00,1.0,0.0\n01,0.0,1.0\n", "column of classes .* the columns image, MEL, NV"),
        ("00.png,cat,train\n01.png,dog,test\n", "column of classes .* the columns 00.png, cat, train"),
        (f'file,label\n00.png,"{"x" * 200_000}"\n', "at most 131,072 characters.* line 2"),
        ('file,label\n00.png,cat\n01.png,"dog\n' + "02.png,cat\n" * 20_000, "Close each quote"),
        ('file,label\n00.png,cat\n01.png,"dog\n02.png,cat\n', r"row 4: 01.png,dog 02.png,cat.* Close each quote"),
        ("file,label,split\n00.png,cat,train\n00.png,cat,test\n", "00.png as train and, in row 3, as test"),
        ("file,label,split\n00.png,cat,Training\n01.png,cat,PublicTest\n02.png,dog,PrivateTest\n",
         f"{PARTS_REQUIRED} split. Received: PublicTest, row 3"),
        ("file,label,subset\n00.png,cat,train\n01.png,cat,\nno.png,dog,exclude\n",
         f"{PARTS_REQUIRED} subset. Received: exclude, row 4"),
        ("file,label,category\n00.png,cat,big\n01.png,dog,big\n02.png,cow,small\n",
         "have one column of classes. Received: label and category, which have different classes"),
        ("file,label,label\n00.png,cat,dog\n01.png,dog,dog\n", "label and label, which have different"),
        ("file,label,split,usage\n00.png,cat,train,test\n01.png,dog,test,test\n",
         "have one column of parts. Received: split and usage, which have different parts"),
        ("file,label\n00.png,1\n01.png,-1\n", "number classes from 0.* only -1 and 1"),
        ("file,label\n00.png,1\n01.png,-1\n02.png,-2\n", "at most one negative number.* -2, -1"),
        ("file,label\n00.png,nan\n01.png,NaN\n", "2 rows, none for the images"),
        ("image;class;Usage\n00.png;cat;1\n01.png;dog;test\n", f"{PARTS_REQUIRED} Usage. Received: 1, row 2"),
    ],
)  # fmt: skip
def test_labels_file_that_names_no_classes_is_refused(rows, message, make, tmp_path):
    root = make("*.png 6", "a/same.png", "b/same.png")
    labels = tmp_path / "labels.csv"
    labels.write_text(rows, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load(str(root), labels_file=labels)


@pytest.fixture
def read(make, tmp_path):
    """Write images and a file of labels with some rows; return the images' classes by name, and the whole result."""

    def write(images, *rows):
        root = make(*images)
        files = list_files(root).files
        (tmp_path / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
        found = read_labels(tmp_path / "labels.csv", root, files)
        return {files[i].relative_to(root).as_posix(): label for i, label in found.labels.items()}, found

    return write


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("dog/x.png", "dog/x.png"),
        ("./dog/x", "dog/x.png"),
        ("x.png", "dog/x.png"),
        ("x", "dog/x.png"),
        ("pets/dog/x.png", "dog/x.png"),
        ("/home/me/pets/dog/x.png", "dog/x.png"),
        (r"C:\pets\dog\x.png", "dog/x.png"),
        ("cat/y.png", "train/cat/y.png"),
        ("./cat/y", "train/cat/y.png"),
        ("images/z.png", "z.png"),
        ("test/w.png", "b/test/w.png"),
        ("../../pets/dog/./x", "dog/x.png"),
        ("test/dog/u.png", "a/test/dog/u.png"),
        ("elk/x.png", None),
        ("elk/x", None),
        ("dog/elk/x.png", None),
        ("train/dog/x.png/x.png", None),
        ("train/y.png", None),
        ("og/x.png", None),
        ("dog/gru\u0308n.png", "dog/gr\u00fcn.png"),
        ("gru\u0308n", "dog/gr\u00fcn.png"),
        ("caf\u00e9/q.png", "cafe\u0301/q.png"),
        ("pets/caf\u00e9/q", "cafe\u0301/q.png"),
        ("cafe/q.png", None),
    ],
)
def test_row_labels_the_image_whose_folders_it_names(name, image, read):
    images = ["dog/x.png", "train/cat/y.png", "z.png", "a/train/w.png", "b/test/w.png", "v.png"]
    images += ["u.png", "a/test/dog/u.png", "dog/gr\u00fcn.png", "cafe\u0301/q.png"]
    labels, found = read(images, "file,label", "v.png,cat", f"{name},elk")
    assert labels == {"v.png": "cat"} | ({image: "elk"} if image else {})
    assert found.missing == (() if image else (name,))


def test_names_that_differ_only_in_their_encoding_are_ambiguous(read):
    with pytest.raises(InputError, match="in row 2, the name of 2 images"):
        read(["caf\u00e9.png", "cafe\u0301.png"], "file,label", "caf\u00e9.png,cat")


@pytest.mark.parametrize(
    ("names", "alike"),
    [
        (("Cat", "cat", "dog"), "Cat and cat"),
        (("caf\u00e9", "cafe\u0301"), "cafe\u0301 and caf\u00e9"),
        (("big-cat", "BIG-cat", "Big-cat"), "BIG-cat and Big-cat and big-cat"),
        (("0", "0.0", "1", "1.0"), "0 and 0.0, 1 and 1.0"),
        (("A", "a"), ""),
        (("1", "10", "1.5"), ""),
        (("cafe", "caf\u00e9"), ""),
    ],
)
def test_classes_that_read_alike_are_named(names, alike, make, tmp_path):
    note = [f"classes that read alike: {alike}"] if alike else []
    root = make(*(f"{name}/*.png 3" for name in names))
    assert list(lay_out(list_files(root)).notes) == note
    (tmp_path / "flat").mkdir()
    rows = ["file,label"]
    for i, file in enumerate(list_files(root).files):
        shutil.copy(file, tmp_path / "flat" / f"{i}.png")
        rows.append(f"{i}.png,{file.parent.name}")
    (tmp_path / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
    assert list(lay_out(list_files(tmp_path / "flat"), labels_file=tmp_path / "labels.csv").notes) == note
    np.savez(tmp_path / "xy.npz", x=np.eye(9), y=np.array(names)[np.arange(9) % len(names)])
    assert list(array_files.read(tmp_path / "xy.npz").notes) == note


@pytest.mark.parametrize(
    "write", [np.save, lambda path, y: path.write_bytes("file,label\n".encode("utf-16-le"))]
)
def test_labels_file_that_is_no_text_is_refused(write, make, tmp_path):
    write(tmp_path / "y.npy", np.arange(12))
    with pytest.raises(
        InputError, match=r"be a CSV file. Received: .*y.npy, which is no text. Save the table"
    ):
        load(str(make("*.png 12")), labels_file=tmp_path / "y.npy")


def test_quotes_may_follow_a_space(read):
    labels, _ = read(
        ["x.png", "y.png"], "file, label, text", 'x.png, "cat, big", "a\nb"', '"y.png" , dog, 5" long'
    )
    assert labels == {"x.png": "cat, big", "y.png": "dog"}


def test_path_that_ends_several_images_is_refused(read):
    with pytest.raises(InputError, match=r"dog/x.png in row 2, the name of 2 images"):
        read(["x.png", "a/dog/x.png", "b/dog/x.png"], "file,label", "dog/x.png,dog")


@pytest.mark.parametrize("word", ["unlabeled", "Unlabelled", "unsup"])
def test_class_of_an_unlabeled_row_is_not_used(word, read):
    labels, found = read(
        ["*.png 4"], "file,label,split", "00,a,train", f"01,b,{word}", "02,a,test", f"03,c,{word}"
    )
    assert labels == {"00.png": "a", "01.png": "", "02.png": "a", "03.png": ""}
    assert class_names(found) == ("a",)


@pytest.mark.parametrize(
    ("column", "values", "ignored"),
    [
        ("fold", ("1", "2", "3"), True),
        ("Split", ("A", "", "B"), True),
        ("set", ("PublicTest", "PrivateTest", "other"), True),
        ("split", ("", " ", ""), False),
        ("split", ("train", "", "test"), False),
        ("source", ("web", "zoo", "web"), False),
    ],
)
def test_column_without_any_part_is_named_and_ignored(column, values, ignored, make, tmp_path):
    root = make("*.png 3")
    rows = [f"{i:02}.png,{'ab'[i % 2]},{value}" for i, value in enumerate(values)]
    (tmp_path / "labels.csv").write_text("\n".join([f"file,label,{column}", *rows]))
    found = lay_out(list_files(root), labels_file=tmp_path / "labels.csv")
    line = f"Column {column} of labels.csv ignored: no train, val or test in it"
    assert found.notes == ((line,) if ignored else ())
    assert (found.part is None) == ("train" not in values)


@pytest.mark.parametrize(
    ("labels", "classes", "missing"),
    [
        ("0 1 -1", ("0", "1"), "-1"),
        ("0.0 1.0 -1.0", ("0.0", "1.0"), "-1.0"),
        ("cat dog nan", TWO, "nan"),
        ("cat dog <NA>", TWO, "<NA>"),
        ("cat dog -1", TWO, "-1"),
        ("cat None NA", ("NA", "None", "cat"), None),
        ("-0 1 2", ("-0", "1", "2"), None),
    ],
)
def test_label_that_means_no_class_is_named(labels, classes, missing, read):
    rows = [f"{i:02}.png,{label}" for i, label in enumerate(labels.split())]
    found, file = read(["*.png 3"], "file,label", *rows)
    assert class_names(file) == classes
    assert found["02.png"] == ("" if missing else labels.split()[-1])
    assert file.notes == ((f"1 image without a class in labels.csv: {missing}",) if missing else ())


@pytest.mark.parametrize(
    ("columns", "rows", "notes"),
    [
        ("label,class_name", ("0,cat", "1,dog", "0,cat"),
         ("Column class_name of labels.csv ignored: the same classes as in label",)),
        ("label,x,y", ("cat,1,2", "dog,3,4", "cat,5,6"), ()),
        ("label,fold,usage", ("0,1,train", "1,2,test", "1,3,train"),
         ("Column fold of labels.csv ignored: no train, val or test in it",)),
    ],
)  # fmt: skip
def test_columns_that_are_not_read_are_named(columns, rows, notes, read):
    _, found = read(["*.png 3"], f"file,{columns}", *(f"{i:02}.png,{row}" for i, row in enumerate(rows)))
    assert [found.labels[i] for i in range(3)] == [row.split(",")[0] for row in rows]
    assert found.notes == notes
    assert bool(found.parts) == ("usage" in columns)


def labelled_by(folder, rows):
    """Arguments that name a file of labels with these rows; none without rows."""
    if rows is None:
        return {}
    (folder / "labels.csv").write_text("\n".join(["file,label,split", *rows]))
    return {"labels_file": folder / "labels.csv"}


@pytest.mark.parametrize(
    ("files", "rows", "how", "divided_by"),
    [
        (["*.png 3"], ["00.png,a,train", "01.png,a,test"], {}, "the file"),
        (["*.png 3"], ["00.png,a,", "01.png,b,"], {}, ""),
        (["train/*.png 3", "test/*.png 3"], ["train/00.png,a,"], {}, "its folders"),
        (["train/*.png 3", "test/*.png 3"], ["train/00.png,a,val"], {}, "its folders and the file"),
        (["train/*.png 3", "test/*.png 3"], None, {"unlabeled": True}, "its folders"),
        (["a/*.png 3", "b/*.png 3"], None, {}, ""),
    ],
)
def test_origin_of_a_division_is_known(files, rows, how, divided_by, make, tmp_path):
    root = make(*files)
    how = how | labelled_by(tmp_path, rows)
    found = lay_out(list_files(root), **how)
    assert found.divided_by == divided_by
    summary = folder.scan(root, needs_labels=False, **how).summary
    assert ("divided by" in summary) == (f"; divided by {divided_by}: train" in summary) == (divided_by != "")
    assert (found.part is None) == (divided_by == "")


@pytest.mark.parametrize(
    ("files", "rows"),
    [
        (["train/a/*.png 3", "train/b/*.png 3", "test/a/*.png 2", "test/c/*.png 2"], None),
        (["*.png 4"], ["00.png,a,train", "01.png,b,train", "02.png,c,test", "03.png,a,test"]),
    ],
)
def test_class_only_for_validation_or_test_is_refused(files, rows, make, tmp_path):
    root, how = make(*files), labelled_by(tmp_path, rows)
    with pytest.raises(
        InputError, match=r"have every class in the examples for training. Received: c only for"
    ):
        lay_out(list_files(root), **how)


@pytest.mark.parametrize(
    ("files", "rows"),
    [
        (["train/*.png 3", "test/a/*.png 2", "test/b/*.png 2"], None),
        (["*.png 4"], ["00.png,,train", "01.png,,train", "02.png,a,test", "03.png,b,test"]),
    ],
)
def test_classes_are_not_used_if_no_image_for_training_has_one(files, rows, make, tmp_path):
    root, how = make(*files), labelled_by(tmp_path, rows)
    found = lay_out(list_files(root), needs_labels=False, **how)
    assert (found.y, found.class_names) == (None, ())
    assert "the examples for training have no classes, so those of the others are not used" in found.notes


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("10", "9", "1"), ("1", "9", "10")),
        (("3", "²"), ("3", "²")),
        (("10", "9", "①"), ("10", "9", "①")),
        (("٣", "2"), ("2", "٣")),
        (("9" * 5000, "10"), ("10", "9" * 5000)),
    ],
)
def test_classes_are_ordered_by_value_if_all_are_decimal(labels, expected, read):
    rows = [f"{i:02}.png,{label}" for i, label in enumerate(labels)]
    _, found = read(["*.png 3"], "file,label", *rows)
    assert class_names(found) == expected


def test_labels_file_that_is_not_there_is_refused(make, tmp_path):
    with pytest.raises(InputError, match="which does not exist"):
        load(str(make("*.png 6")), labels_file=tmp_path / "none.csv")


def test_color_is_chosen(make):
    root = make("*.png 5", "x.png L")
    assert folder.scan(root).shape == (5, 4, 3)
    assert folder.scan(root, color="grey").shape == (5, 4, 1)
    grey = load(str(root), color="grey")[0].all_x
    color = load(str(root))[0].all_x
    np.testing.assert_allclose(grey[..., 0], color @ [0.299, 0.587, 0.114], atol=0.01)


@pytest.mark.parametrize("name", ["", " "])
def test_empty_name_is_refused(name):
    with pytest.raises(InputError, match=r'The current folder is "\."'):
        load(name)


def test_file_instead_of_a_folder_is_named(make):
    root = make("*.png 6")
    with pytest.raises(InputError, match=r"a file\. Give the folder"):
        load(str(root / "00.png"))
