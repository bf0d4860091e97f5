"""Lineages drawn: everything is there, in every form, and other people's parsers read it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from prov.model import ProvDocument, ProvEntity

from provenance.errors import LimitError, MalformedError
from provenance.policy import Level, Status
from provenance.verify.drawing import FORMS, MAX_DRAWN, draw
from provenance.verify.report import Artefact, Report

GOOD, BAD, OPEN = Status.PASSED, Status.FAILED, Status.NOT_PERFORMED


def _artefact(name: str, status: Status, *parents: str, kind: str = "dataset") -> Artefact:
    return Artefact(name, kind, "ab" * 32, 0, 0, "museum (0123)", status, parents)


REPORT = Report(
    target="t/model@1",
    digest="ab" * 32,
    checks=(),
    level=Level.D2,
    missing=(),
    required=None,
    artefacts=(
        _artefact("t/model@1", BAD, "t/clean@1", "t/raw@1", kind="model"),
        _artefact("t/clean@1", GOOD, "t/raw@1", "t/gone@1"),
        _artefact("t/raw@1", OPEN),
    ),
)
EDGES = {("t/clean@1", "t/model@1"), ("t/raw@1", "t/model@1"), ("t/raw@1", "t/clean@1"), ("t/gone@1", "t/clean@1")}


@pytest.mark.parametrize("form", FORMS)
def test_a_drawing_is_the_same_each_time_and_names_everything(form: str) -> None:
    text = draw(REPORT, form)
    assert text == draw(REPORT, form)
    for word in ("t/model@1", "t/clean@1", "t/raw@1", "t/gone@1", "failed", "passed", "not performed", "not at hand"):
        assert word in text


def test_dot_has_every_edge() -> None:
    assert set(re.findall(r'"([^"]+)" -> "([^"]+)";', draw(REPORT, "dot"))) == EDGES


def test_mermaid_has_every_edge() -> None:
    text = draw(REPORT, "mermaid")
    names = dict(re.findall(r'(n\d+)(?:\(\[|\[)"([^<]+)<br/>', text))
    assert {(names[a], names[b]) for a, b in re.findall(r"(n\d+) --> (n\d+)", text)} == EDGES


def test_svg_is_xml_with_a_box_each_and_no_box_on_another() -> None:
    root = ElementTree.fromstring(draw(REPORT, "svg"))
    space = "{http://www.w3.org/2000/svg}"
    boxes = [(int(b.attrib["x"]), int(b.attrib["y"])) for b in root.iter(space + "rect")]
    assert len(boxes) == len(set(boxes)) == 4
    assert len(list(root.iter(space + "path"))) == len(EDGES)
    titles = [title.text or "" for title in root.iter(space + "title")]
    order = {title.splitlines()[0]: box[0] for title, box in zip(titles, boxes, strict=True)}
    assert all(order[parent] < order[child] for parent, child in EDGES)


def test_prov_json_is_read_by_prov_and_comes_back() -> None:
    document = ProvDocument.deserialize(content=draw(REPORT, "prov-json"), format="json")
    assert len(list(document.get_records(ProvEntity))) == 4
    again = document.serialize(format="json") or ""
    derived = json.loads(again)["wasDerivedFrom"]
    assert len(derived) == len(EDGES)
    assert ProvDocument.deserialize(content=again, format="json") == document


def test_hostile_names_are_escaped() -> None:
    report = replace(REPORT, artefacts=(replace(REPORT.artefacts[2], signer='<script>"&'),))
    ElementTree.fromstring(draw(report, "svg"))
    assert "<script>" not in draw(report, "svg")


def test_a_chain_of_any_length_is_drawn() -> None:
    names = [f"t/n{number}@1" for number in range(MAX_DRAWN)]
    chain = tuple(_artefact(name, GOOD, *names[number + 1 : number + 2]) for number, name in enumerate(names))
    assert draw(replace(REPORT, artefacts=chain), "svg").count("<rect") == MAX_DRAWN
    with pytest.raises(LimitError, match="too large to draw"):
        draw(replace(REPORT, artefacts=(*chain, _artefact("t/more@1", GOOD))), "dot")
    with pytest.raises(MalformedError, match="unknown form"):
        draw(REPORT, "png")
