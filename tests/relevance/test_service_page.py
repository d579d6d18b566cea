"""Explanations that add up, pins and pictures of the catalogue alone, and the page in a real browser where one is."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
import uvicorn
from PIL import Image
from table_rows import day, write_rows

from enrich.images import BadImage
from enrich.normalise import terms
from enrich.tables import DELETIONS, PIN_BOARDS, PIN_CAPTION, PIN_TEXT, PINS
from enrich.workspace import Catalogue, Workspace
from relevance.explaining import explain, shapley
from relevance.online import Scorer
from relevance.ranking import RankSettings, UtilityWeights
from relevance.service.app import Parts, create_app
from relevance.service.asked_teacher import AskedTeacher
from relevance.service.cards import Cards, with_matches
from relevance.service.live import Live
from relevance.service.pictures import Pictures
from relevance.service.records import FieldText
from tests.relevance.browser import browser, needs_chromium
from tests.relevance.services import PINS as KNOWN
from tests.relevance.services import QUIET, client_of, engine_of, memory_store, tiny_student
from tests.relevance.students import WordEncoder

HOSTILE = "<img src=x onerror=document.title='owned'>"


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory) -> Workspace:
    """Four pins with texts and pictures: one plain, one whose picture points out of the catalogue, one deleted."""
    root = tmp_path_factory.mktemp("page")
    pictures = root / "catalogue"
    pictures.mkdir()
    Image.new("RGB", (900, 600), "teal").save(pictures / "a.jpg")
    Image.new("RGB", (20, 20), "red").save(root / "outside.png")
    (pictures / "link.png").symlink_to(root / "outside.png")
    (pictures / "secret.txt").write_text("not a picture")
    workspace = Workspace.at(root / "workspace")
    workspace.create(Catalogue("native", str(pictures)))
    uris = ["a.jpg", "../outside.png", "secret.txt", "link.png", "http://example.invalid/a.jpg", f"{root}/outside.png"]
    at = {"event_timestamp": day(1)}
    for pin, uri in zip(KNOWN, [*uris, None], strict=False):
        write_rows(workspace, PINS, {"pin_id": pin, "image_uri": uri, "created_at": day(1)})
    write_rows(
        workspace, PIN_TEXT, *({"pin_id": p, "title": f"Blue chair {p} {HOSTILE}", "lang": "en", **at} for p in KNOWN)
    )
    write_rows(workspace, PIN_CAPTION, *({"pin_id": pin, "caption": "a chair", **at} for pin in KNOWN))
    write_rows(
        workspace, PIN_BOARDS, *({"pin_id": pin, "board_titles": ["chair ideas", "blue"], **at} for pin in KNOWN)
    )
    write_rows(workspace, PINS, {"pin_id": "gone", "image_uri": "a.jpg", "created_at": day(1)})
    write_rows(workspace, DELETIONS, {"kind": "pin", "id": "gone", "deleted_at": day(2)})
    return workspace


@pytest.fixture(scope="module")
def scorer(tmp_path_factory) -> Scorer:
    return Scorer(tiny_student(tmp_path_factory.mktemp("m")), memory_store(), WordEncoder())


@pytest.fixture(scope="module")
def parts(catalogue, scorer) -> Parts:
    return Parts(Live(engine_of(scorer)), QUIET, cards=Cards(catalogue), pictures=Pictures(catalogue))


@pytest.fixture(scope="module")
def client(parts):
    with client_of(parts) as client:
        yield client


def test_shapley_values_of_a_game_by_hand():
    """Two players: alone 1 and 2, together 5. Each gets its own and half of what only both make: 2 and 3."""
    kept = np.array([[False, False], [True, False], [False, True], [True, True]])
    assert shapley(np.array([0.0, 1.0, 2.0, 5.0]), kept).tolist() == [2.0, 3.0]


def test_an_explanation_adds_up_and_names_only_what_is_there(scorer):
    answer = scorer.answer("blue chair", KNOWN[:3])
    for row in range(3):
        found = explain(scorer.student, answer, row)
        assert found.level == pytest.approx(answer.relevance[row], abs=1e-5)
        assert found.bare + sum(effect.effect for effect in found.inputs) == pytest.approx(found.level, abs=1e-4)
        assert not {effect.input for effect in found.inputs} & set(answer.scored_pins()[row].missing)
        assert [abs(n.effect) for n in found.numbers] == sorted((abs(n.effect) for n in found.numbers), reverse=True)


def test_explain_gives_the_texts_with_what_matched(client):
    body = client.post("/explain", json={"query": "BLUE table", "pin_id": KNOWN[0]}).json()
    texts = {text["field"]: text for text in body["texts"]}
    assert texts["title"]["matched"] == ["blue"] and texts["boards"]["texts"] == ["chair ideas", "blue"]
    assert body["bare"] + sum(one["effect"] for one in body["inputs"]) == pytest.approx(
        body["pin"]["relevance"], abs=1e-3
    )
    unknown = client.post("/explain", json={"query": "blue", "pin_id": "nobody's"}).json()
    assert unknown["inputs"] == [] and "pin" in unknown["pin"]["missing"] and unknown["texts"] == []


def test_a_querys_single_sign_is_among_what_matched():
    (said,) = with_matches([FieldText(field="title", texts=["黑猫的照片", "red"])], "猫 red 猫犬")
    assert said.matched == ["猫", "red"]


def test_a_pin_is_shown_with_where_it_came_from_and_a_deleted_one_is_not(client):
    shown = client.get(f"/pins/{KNOWN[0]}").json()
    assert shown["served"] and shown["image"] == f"pins/{KNOWN[0]}/image"
    assert {fact["table"] for fact in shown["facts"]} == {"pin_text", "pin_caption", "pin_boards"}
    for pin in ("gone", "nobody's", "%00", "..%2F..%2Fetc%2Fpasswd"):
        assert client.get(f"/pins/{pin}").status_code == 404
        assert client.get(f"/pins/{pin}/image").status_code == 404


def test_pictures_are_the_catalogues_own_small_and_drawn_anew(client, catalogue):
    picture = client.get(f"/pins/{KNOWN[0]}/image")
    assert picture.headers["content-type"] == "image/jpeg" and picture.headers["x-content-type-options"] == "nosniff"
    with Image.open(BytesIO(picture.content)) as image:
        assert image.format == "JPEG" and max(image.size) == 400
    again = client.get(f"/pins/{KNOWN[0]}/image", headers={"if-none-match": picture.headers["etag"]})
    assert again.status_code == 304 and not again.content
    refused = [
        client.get(f"/pins/{pin}/image") for pin in KNOWN[1:6]
    ]  # outside, no picture, a link out, the web, absolute
    assert [answer.status_code for answer in refused] == [404] * 5
    with pytest.raises(BadImage):
        Pictures(catalogue).thumbnail("/etc/passwd")
    wider = Pictures(catalogue, [str(catalogue.root.parent)])
    assert wider.thumbnail("../outside.png").jpeg


def test_inspect_orders_filters_and_gives_cards(client):
    whole = client.post("/inspect", json={"query": "blue chair", "floor": 1}).json()
    assert whole["shown"] == len(whole["pins"]) == len(KNOWN) and whole["langs"] == ["en"]
    cards = {pin["pin_id"]: pin["card"] for pin in whole["pins"]}
    assert cards[KNOWN[0]]["texts"][0]["matched"] == ["blue", "chair"]
    for order, key in (("relevance", "relevance"), ("engagement", "engagement")):
        pins = client.post("/inspect", json={"query": "blue chair", "floor": 1, "order": order}).json()["pins"]
        assert [pin[key] for pin in pins] == sorted((pin[key] for pin in pins), reverse=True)
    lacking = client.post("/inspect", json={"query": "blue chair", "floor": 1, "lacks": "title"}).json()
    having = client.post("/inspect", json={"query": "blue chair", "floor": 1, "has": "title"}).json()
    assert lacking["shown"] + having["shown"] == len(KNOWN)
    assert all("title" in pin["missing"] for pin in lacking["pins"])
    assert client.post("/inspect", json={"query": "blue chair", "lang": "fr"}).json()["pins"] == []


def test_a_pin_that_is_not_there_has_no_input_and_what_is_no_input_is_no_filter(client):
    request = {"query": "blue chair", "floor": 1, "pin_ids": [KNOWN[0], "unknown"]}
    for filtered, pins in (("has", [KNOWN[0]]), ("lacks", ["unknown"])):
        found = client.post("/inspect", json={**request, filtered: "caption"}).json()
        assert [pin["pin_id"] for pin in found["pins"]] == pins
        refused = client.post("/inspect", json={**request, filtered: "titel"})
        assert refused.status_code == 422 and "expected one of title, " in refused.json()["error"]


@pytest.mark.parametrize("harm", ["damaged", "gone"])
def test_a_catalogue_that_cannot_be_read_costs_the_cards_alone(catalogue, scorer, tmp_path, harm):
    harmed = Workspace.at(tmp_path / "workspace")
    shutil.copytree(catalogue.root, harmed.root)
    for table in (PINS, PIN_TEXT):
        for part in harmed.folder(table).glob("*.parquet"):
            part.write_bytes(b"PAR1 no table") if harm == "damaged" else part.unlink()
    parts = Parts(Live(engine_of(scorer)), QUIET, cards=Cards(harmed), pictures=Pictures(harmed))
    pin = KNOWN[0]
    with client_of(parts) as client:
        explained = client.post("/explain", json={"query": "blue chair", "pin_id": pin}).json()
        assert explained["texts"] == [] and explained["inputs"]
        assert explained["pin"]["relevance"] == pytest.approx(scorer.score("blue chair", [pin])[0].relevance)
        inspected = client.post("/inspect", json={"query": "blue chair", "floor": 1}).json()["pins"]
        assert len(inspected) == len(KNOWN) and all(one["card"]["unread"] for one in inspected)
        shown = client.get(f"/pins/{pin}").json()
        assert shown["served"] and shown["unread"]
        assert {fact["table"] for fact in shown["facts"]} == {"pin_caption", "pin_boards"}
        assert client.get(f"/pins/{pin}/image").status_code == 404


def test_without_a_teacher_the_page_is_told_so(client):
    answer = client.post("/teacher", json={"query": "q", "pin_ids": KNOWN[:1]})
    assert answer.status_code == 404 and "train-teacher" in answer.json()["error"]


def test_a_teacher_that_was_trained_again_is_the_one_that_is_asked(catalogue, tmp_path, monkeypatch):
    workspace, loads = Workspace.at(tmp_path), []
    folder = workspace.models / "teacher"
    folder.mkdir(parents=True)

    class Said:
        """Stands for a teacher: says the level that its record names."""

        def __init__(self, path) -> None:
            level = int((path / "teacher.json").read_text())
            loads.append(level)
            self.record, self.level = SimpleNamespace(fingerprint=f"t{level}"), level

        def predict(self, queries, texts):
            return np.tile(np.eye(5)[self.level - 1], (len(queries), 1))

    monkeypatch.setattr("relevance.teacher.Teacher.load", Said)
    asked = AskedTeacher(workspace, Cards(catalogue))
    for level in (2, 2, 4):
        (tmp_path / "next").write_text(str(level))
        if not loads or loads[-1] != level:
            (tmp_path / "next").rename(folder / "teacher.json")
        model, (pin,) = asked.ask("blue chair", KNOWN[:1])
        assert (model, pin.relevance) == (f"t{level}", level)
    assert loads == [2, 4]


def test_a_teacher_that_takes_its_time_holds_no_pin_and_no_picture_up(parts):
    go, asked = threading.Event(), threading.Semaphore(0)

    def ask(query, pin_ids):
        asked.release()
        go.wait(60)
        return "t", []

    question = {"query": "blue chair", "pin_ids": KNOWN[:1]}
    with client_of(replace(parts, teacher=SimpleNamespace(there=True, ask=ask))) as client:
        questions = [threading.Thread(target=lambda: client.post("/teacher", json=question)) for _ in range(3)]
        for one in questions:
            one.start()
        assert asked.acquire(timeout=60)
        assert client.get(f"/pins/{KNOWN[0]}").status_code == client.get(f"/pins/{KNOWN[0]}/image").status_code == 200
        go.set()
        for one in questions:
            one.join()


def test_the_page_loads_nothing_from_elsewhere(client):
    page = client.get("/")
    assert page.status_code == 200 and "script-src 'self'" in page.headers["content-security-policy"]
    for file in ("inspector.css", "inspector.js", "cards.js", "parts.js", "service.js", "why.js"):
        body = client.get(f"/page/{file}")
        assert body.status_code == 200 and body.headers["x-content-type-options"] == "nosniff"
        assert "http://" not in body.text and "https://" not in body.text and "innerHTML" not in body.text
    assert [client.get(path).status_code for path in ("/docs", "/redoc")] == [404, 404]  # FastAPI's pages load theirs


@contextmanager
def running(parts: Parts) -> Iterator[str]:
    """The service on a port of its own."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(uvicorn.Config(create_app(parts), log_config=None, access_log=False))
        serving = threading.Thread(target=lambda: server.run(sockets=[listening]))
        serving.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            serving.join()


@needs_chromium
def test_in_a_browser_a_link_leads_to_cards_and_to_the_reason_of_a_rank(parts, tmp_path):
    with running(parts) as address, browser(tmp_path) as tab:
        tab.open(f"{address}/#q=blue+chair&floor=1&order=relevance&pin={KNOWN[0]}")
        tab.until("document.querySelector('#why').textContent.includes('What moved the score')")
        page = tab.value("document.documentElement.outerHTML")
        title = tab.value("document.title")
    assert page.count('class="card"') == len(KNOWN)
    assert "What moved the score" in page and "Why this rank" in page
    assert title == "blue chair – relevance inspector"  # no text of a pin became a script
    assert "&lt;img src=x" in page and "<mark>Blue</mark>" in page
    assert json.dumps(HOSTILE) not in page


SHOWN = "[...document.querySelectorAll('.card')].map((card) => card.dataset.pin).join(' ')"
LEVELS = "[...document.querySelectorAll('.card')].map((card) => Number(card.querySelector('.levels b').textContent))"
WHY = "document.querySelector('#why')"


@needs_chromium
def test_in_a_browser_a_query_is_typed_and_its_cards_are_walked_through_by_keys(parts, tmp_path):
    with running(parts) as address, browser(tmp_path) as tab:
        tab.open(f"{address}/#floor=1")
        tab.until("document.activeElement.id === 'query'")
        tab.ask("Input.insertText", text="Blue chair")
        tab.press("Enter")
        assert len(tab.until(SHOWN).split()) == len(KNOWN)
        assert tab.value("new URLSearchParams(location.hash.slice(1)).get('q')") == "Blue chair"
        tab.ask("Runtime.evaluate", expression="document.querySelector('#query').blur()")
        tab.press("r")
        tab.until(f"location.hash.includes('order=relevance') && {LEVELS}.every((l, i, all) => !i || all[i - 1] >= l)")
        tab.press("j")
        tab.press("j")
        second = tab.value(SHOWN).split()[1]
        tab.press("Enter")
        tab.until(f"{WHY}.open && {WHY}.textContent.includes('Why this rank')")
        assert tab.value("new URLSearchParams(location.hash.slice(1)).get('pin')") == second
        tab.ask("Runtime.evaluate", expression="history.back()")
        tab.until(f"!{WHY}.open")
        assert tab.value("new URLSearchParams(location.hash.slice(1)).get('q')") == "Blue chair"


@needs_chromium
def test_in_a_browser_a_slider_and_a_filter_ask_again_and_the_link_holds_them(parts, tmp_path):
    def moved(weight: str, value: float) -> str:
        slider = f"document.querySelector('[data-weight={weight}]')"
        return f"{slider}.value = {value}; {slider}.dispatchEvent(new Event('input', {{bubbles: true}}))"

    filtered = "document.querySelector('[data-filter=lacks]')"
    with running(parts) as address, browser(tmp_path) as tab:
        tab.open(f"{address}/#q=blue+chair&floor=1")
        usual = tab.until("document.querySelector('.card .worth b')?.textContent")
        tab.ask("Runtime.evaluate", expression=moved("relevance", 0))
        tab.until(f"document.querySelector('.card .worth b').textContent !== '{usual}'")
        link = tab.value("location.href")
        assert "relevance=0" in link
        tab.ask("Runtime.evaluate", expression="document.querySelector('#usual').click()")
        tab.until(f"document.querySelector('.card .worth b').textContent === '{usual}'")
        tab.ask("Runtime.evaluate", expression=moved("floor", 5))
        tab.until("document.querySelector('#summary').textContent.includes('below the floor')")
        assert tab.value(SHOWN) == ""
        tab.ask("Page.navigate", url="about:blank")
        tab.open(link)
        tab.until(f"(document.querySelector('.card .worth b') ?? {{textContent: '{usual}'}}).textContent !== '{usual}'")
        changed = f"{filtered}.value = 'caption'; {filtered}.dispatchEvent(new Event('change'))"
        tab.ask("Runtime.evaluate", expression=changed)
        tab.until("location.hash.includes('lacks=caption')")


@needs_chromium
def test_in_a_browser_the_terms_that_matched_are_marked_in_any_script_and_nowhere_else(parts, tmp_path):
    texts = {  # query -> text, what of it is marked
        "हिन्दी किताब": ("पुरानी हिन्दी किताब", ["हिन्दी", "किताब"]),
        "தமிழ்": ("தமிழ் புத்தகம்", ["தமிழ்"]),
        "كِتَاب": ("كِتَاب قديم", ["كِتَاب"]),
        "на": ("Она на столе", ["на"]),
        "CAFÉ": ("café_table", ["café"]),
        "椅子": ("red椅子", ["椅子"]),
        "ที่นั่ง": ("ที่นั่งไม้", ["ที่นั่", "ง"]),
    }
    marks = "((p) => [...p.querySelectorAll('mark')].map((m) => m.textContent))"
    with running(parts) as address, browser(tmp_path) as tab:
        tab.open(address)
        tab.ask("Runtime.evaluate", expression="import('/page/parts.js').then((parts) => { window.parts = parts })")
        tab.until("window.parts !== undefined")
        for query, (text, expected) in texts.items():
            matched = json.dumps(sorted(set(terms(query)) & set(terms(text))))
            said = tab.value(f"{marks}(parts.make('p', '', parts.marked({json.dumps(text)}, {matched})))")
            assert said == expected, query


@needs_chromium
def test_in_a_browser_a_slider_reaches_to_a_weight_that_was_tuned_beyond_it(parts, scorer, tmp_path):
    tuned = RankSettings(UtilityWeights(save=3.2, hide=-6.4))
    live = Live(replace(engine_of(scorer), ranking=tuned))
    with running(replace(parts, live=live)) as address, browser(tmp_path) as tab:
        tab.open(f"{address}/#q=blue+chair&floor=1")
        tab.until("document.querySelector('.card .worth b')?.textContent")
        for weight, value in (("save", 3.2), ("hide", -6.4)):
            assert float(tab.value(f"document.querySelector('[data-weight={weight}]').value")) == value
