"""The page of a class: valid HTML whatever students write, with what a teacher looks for."""

import html.parser
import urllib.parse

import pytest

from grading.class_of_students import LAB, LEAKY, notebook, write
from tf_kit.grading import reports, similarity, submissions
from tf_kit.grading.class_page import in_words
from tf_kit.grading.record import Grade, Result

EVIL = "</title></style><script>alert(1)</script>\x00\x1b[31m & \" ' ${body} <img src=x onerror=y>"
VOID = {"meta", "img", "br", "hr", "link", "input"}
MISTAKE = LAB.exercises["leaky"].mistakes[0].sentence

# An answer of its own: nothing of it is known to the lab.
OWN = """def leaky_relu(x, slope):
    result = []
    for value in x.tolist():
        if value > 0 or value != value:
            result.append(value)
        elif value == 0 and str(value).startswith("-"):
            result.append(-0.0)
        else:
            result.append(value * slope)
    return np.array(result, dtype=x.dtype).reshape(x.shape)
"""
COPIED = (
    OWN.replace("result", "out")
    .replace("value", "v")
    .replace("    for", "    # mine\n    print('go')\n    for")
)


class Page(html.parser.HTMLParser):
    """Elements of a page: opened and closed in order, with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), "an attribute twice"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def graded(student, points=2, status="ok", sentence="", number=""):
    results = [
        Result("leaky", "Leaky ReLU", points, 2, status, sentence),
        Result("descent", EVIL, 0, 3, "missing", LAB.exercises["descent"].task),
    ]
    return Grade(student, LAB.name, results, digest=student, number=number)


GRADES = [
    graded("Ada"),
    graded(EVIL, 0, "wrong", MISTAKE),
    graded("Alan", 0, "error", EVIL),
    graded("Grace", 0, "error", "SyntaxError in line 1 of its cell: invalid syntax"),
    graded("Emmy", 0, "missing", LAB.exercises["leaky"].task),
    graded("John", number="1"),
    graded("John", number="2"),
    graded("Kurt", 0, "error", "the grader failed on this submission (KeyError): it must be graded by hand"),
]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grades")
    alike = [similarity.Alike((("Ada", ""), (EVIL, "")), {"leaky": 0.9})]
    reports.write(GRADES, LAB, folder, {"seconds": 75.0, "submissions": 8, "from the record": 2}, alike=alike)
    return folder


@pytest.fixture(scope="module")
def page(out):
    return Page((out / "class.html").read_text())


def test_text_of_students_becomes_no_markup(page):
    assert not {tag for tag, _ in page.seen} & {"script", "img", "iframe", "object", "link", "base", "form"}
    assert not [name for _, attributes in page.seen for name in attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in page.text


def test_page_loads_nothing(page):
    assert not [
        tag for tag, attributes in page.seen if attributes.keys() & {"src", "srcset", "data", "action"}
    ]
    (policy,) = [each["content"] for _, each in page.seen if each.get("http-equiv")]
    assert policy.startswith("default-src 'none'")


def test_links_lead_to_the_reports_of_the_students(out, page):
    links = {each["href"] for tag, each in page.seen if tag == "a"}
    assert len(links) == len(GRADES)
    assert all((out / urllib.parse.unquote(link)).is_file() for link in links)


def test_page_shows_what_a_teacher_looks_for(page):
    words = " ".join(page.text.split())
    assert MISTAKE in words
    assert "1 min 15 sto grade 6 submissions" in words
    assert "John (1)" in words, "two students of one name are told apart"
    assert "Leaky ReLU (90%)" in words
    assert words.index("misconceptions") < words.index(MISTAKE) < words.index("Code that Python cannot read")
    assert "SyntaxError" not in words.split("Who needs help")[0]
    assert "it must be graded by hand" in words


@pytest.mark.parametrize(
    ("grade", "words"),
    [
        (GRADES[2], "tried 1 of 2 exercises, solved none; stops with an error: “Leaky ReLU”"),
        (GRADES[3], "Python cannot read the code: “Leaky ReLU”"),
        (GRADES[4], "has not begun any exercise"),
        (graded("x", 0, "missing", "the folder is empty"), "the folder is empty"),
    ],
)
def test_help_is_described_in_words(grade, words):
    assert words in in_words(grade, LAB)


def handed_in(tmp_path, **answers):
    for name, leaky in answers.items():
        write(tmp_path, name, notebook(leaky=leaky, descent=LAB.stub("descent")))
    return similarity.alike(submissions.find([tmp_path], LAB), LAB)


def test_renamed_copy_is_found(tmp_path):
    (found,) = handed_in(tmp_path, ada=OWN, alan=COPIED, grace=LEAKY, emmy=LEAKY + "\n# other")
    assert [name for name, _ in found.students] == ["ada", "alan"]
    assert found.exercises["leaky"] > 0.99
    assert not found.same_file


def test_answers_that_the_lab_knows_are_no_hint(tmp_path):
    exercise = LAB.exercises["leaky"]
    known = [LEAKY, LAB.stub("leaky"), exercise.variants[0].of(LEAKY), exercise.mistakes[1].of(LEAKY)]
    answers = {f"s{i}{j}": f"# {i}\n{code}" for i, code in enumerate(known) for j in range(3)}
    for i, name in enumerate(answers):
        answers[name] += f"\n# {i}"
    assert handed_in(tmp_path, **answers) == []


def test_same_file_is_listed_even_if_its_answers_are_known(tmp_path):
    (found,) = handed_in(tmp_path, ada=LEAKY, alan=LEAKY)
    assert (found.same_file, found.exercises) == (True, {})


@pytest.mark.parametrize("code", ["def f(:", "x = " + "(" * 500, "\x00", "x = 1\n" * 3, "f'{" * 300])
def test_code_that_python_cannot_read_has_few_features(code, recwarn):
    assert len(similarity.features_of(code)) <= 1
    assert not similarity.features_of("s = '\\d'") & similarity.features_of(LEAKY)
    assert not recwarn.list


def test_answers_of_another_kind_are_not_alike(tmp_path):
    other = (
        "def leaky_relu(x, slope):\n    y = x.copy()\n    for i in np.ndindex(*y.shape):\n        y[i] *= "
    )
    other += "slope if y[i] < 0 else 1\n    assert y.shape == x.shape, 'no'\n    return y.astype(x.dtype)\n"
    assert handed_in(tmp_path, ada=OWN, alan=other) == []
