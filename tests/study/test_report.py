"""The report: self-contained, escaped, the error first, the same bytes for the same content."""

import json
import re
from html.parser import HTMLParser

import pytest

from vesalius.measure import parse_config
from vesalius.study import Heading, Scene, build_report, failed_report, render_html, render_json
from vesalius.study._figures import histograms_png, views_png
from vesalius.study._methods import methods_text, references
from vesalius.study._report import key_spans
from vesalius.study._views import outline

EVIL = "<script>alert('x')</script>&\""
VOLUME = {"family": "morphology", "feature": "morph_volume", "unit": "mm^3", "value": 3000.0}


class Reader(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.text = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [v for k, v in attributes if k in ("href", "src", "xlink:href")]

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def report(scan, make_part):
    image, labels = scan
    part = make_part(
        VOLUME | {"perturb_sd": 30.0, "mdc95": 83.0},
        VOLUME | {"label": EVIL, "reason": EVIL, "value": 5.0, "grade": "good"},
        perturbations={"left": 8, EVIL: 10},
        findings=(f"finding {EVIL}",),
        failures={"right": f"failed {EVIL}"},
    )
    scene = Scene(image, outline(labels, ((0, 3), (0, 5)), names=("left", EVIL)), "left")
    heading = Heading(f"Title {EVIL}", "Lead.", source=EVIL, subject=EVIL)
    return build_report(heading, scene, (part,), provenance={"step": EVIL})


def test_nothing_comes_from_elsewhere_and_nothing_runs(report):
    page = Reader(render_html(report))
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert "iframe" not in page.tags
    assert page.links
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not re.search(r"url\(|@import", render_html(report))


def test_all_data_is_escaped(report):
    html = render_html(report)
    assert EVIL not in html
    assert "<script>alert" not in html
    assert any(EVIL in text for text in Reader(html).text)


def test_errors_stand_before_everything_else(report):
    html = render_html(report)
    places = [
        html.index(text)
        for text in ("What went wrong", "Before you use the numbers", "What was measured", "Key n")
    ]
    assert places == sorted(places)


def test_the_notice_stands_on_every_report(report):
    for one in (report, failed_report(Heading("Nothing", ""), "no")):
        assert "Research use only, not a medical device." in render_html(one)
        assert json.loads(render_json(one))["notice"].startswith("Research use only")


def test_a_failed_run_has_a_report_with_its_error(report):
    html = render_html(failed_report(Heading("Nothing could be measured", ""), "image must exist"))
    assert "image must exist" in html
    assert "Key numbers" not in html


def test_the_json_twin_holds_the_same_content(report):
    twin = json.loads(render_json(report))
    assert twin["errors"] == [f"right: failed {EVIL}"]
    assert twin["findings"][0] == f"finding {EVIL}"
    assert [row["label"] for row in twin["key_numbers"]] == ["left", EVIL]
    assert twin["key_numbers"][0]["quantities"]["Volume"]["value"] == 3.0
    assert twin["views"][0]["letters"]["left"] == "R"
    assert twin["focus"]["name"] == "left"


def test_rendering_twice_gives_the_same_bytes(report):
    assert render_html(report) == render_html(report)
    assert render_json(report) == render_json(report)
    assert views_png(report.views) == views_png(report.views)
    assert histograms_png(report.histograms) == histograms_png(report.histograms)


def test_figures_are_png_without_notes(report):
    for content in (views_png(report.views), views_png(report.focus, legend=False)):
        assert content.startswith(b"\x89PNG")
        assert b"tEXt" not in content
        assert b"matplotlib" not in content


def test_error_bars_are_drawn_only_where_there_are_some(report, scan, make_part):
    assert 'class="whisker"' in render_html(report)
    image, _ = scan
    bare = build_report(Heading("Bare", ""), Scene(image, ()), (make_part(VOLUME),), provenance={})
    html = render_html(bare)
    assert 'class="whisker"' not in html
    assert "--uncertainty" in html


def test_bars_end_at_a_round_number_that_holds_them_all(report):
    # 1.96 x 30 / 3000 = 1.96 %
    assert key_spans(report.keys)[0] == 2.0


def test_methods_name_what_the_configuration_says(make_part):
    config = parse_config("""
modality: CT
resample: {spacing_mm: [2, 1, 1], rounding: integer}
resegment: {range: [-500, null], outlier_sigma: 3}
normalise: {method: nyul, landmarks: [0, 1, 2]}
discretise: {method: bin_width, bin_width: 12.5}
features: {spatial_autocorrelation: false}
perturb: {blur_mm: 0.7, drift: 0.01, resampling: 0.1}
""")
    part = make_part(VOLUME | {"grade": "good"}, config=config, perturbations={"left": 8})
    text = methods_text(part)
    for words in (
        "2 x 1 x 1 mm",
        "rounded to integers",
        "[-500, infinity)",
        "3 standard deviations",
        "nyul",
        "bin size of 12.5",
        "Moran's I and Geary's C were left out",
        "8 repeated measurements",
        "sigma up to 0.7 mm",
        "calibration drift",
    ):
        assert words in text
    dois = [item.doi for item in references((part,))]
    assert "10.1148/radiol.2020191145" in dois
    assert "10.1038/s41598-018-36938-4" in dois
    assert "10.1016/j.jcm.2016.02.012" in dois
    assert "10.1109/42.836373" in dois
    assert len(dois) == len(set(dois))


def test_methods_of_a_plain_measurement_claim_no_more(make_part):
    config = parse_config("discretise: {method: none}")
    text = methods_text(make_part(VOLUME, config=config))
    assert "without interpolation" in text
    assert "perturbation" not in text
    assert "without discretisation" in text
    assert [item.doi for item in references((make_part(VOLUME),))] == ["10.1148/radiol.2020191145"]


def test_methods_name_a_fixed_bin_number_and_slices_in_plane(make_part):
    config = parse_config("""
resample: {spacing_mm: [2, 1, 1], in_plane: true}
discretise: {method: bin_count, bin_count: 16}
normalise: {method: white_stripe}
""")
    part = make_part(VOLUME, config=config)
    assert "bin number of 16" in methods_text(part)
    assert "in the plane of the slices" in methods_text(part)
    assert any("white" not in r.doi and "nicl" in r.doi for r in references((part,)))


def test_values_that_could_not_be_given_are_listed_by_reason(scan, make_part):
    why = {"feature": "stat_mean", "family": "statistics", "value": float("nan")}
    part = make_part(
        why | {"reason": "all <flat>"}, why | {"label": "right", "reason": "all <flat>"}
    )
    image, labels = scan
    scene = Scene(image, outline(labels, ((0, 3), (0, 5)), names=("left", "right")))
    report = build_report(Heading("t", "l"), scene, (part,), provenance={})
    assert report.missing == {"all <flat>": 2}
    assert any("2 values could not be given" in text for text in report.findings)
    html = render_html(report)
    assert "<li><b>2</b>all &lt;flat&gt;</li>" in html
    assert json.loads(render_json(report))["missing"] == {"all <flat>": 2}
