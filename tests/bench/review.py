"""From the list to the review and from Confirm to the campaign's page, as a person at the pages waits for it."""

import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from requests import Response

from smsqueue.domain import drafts
from tests.bench import audience
from tests.bench.figures import say, show_limit, timed
from tests.bench.stage import Server, Stage
from tests.bench.visitor import Visitor
from tests.outside import wait_until

ROUNDS, PASTED, UPLOADED = 3, 10_000, 100_000


@dataclass(slots=True)
class Watch:
    """What one visit took, in seconds."""

    review: float = 0
    confirm: float = 0


def measure(server: Server) -> dict[str, float]:
    """Measure 10,000 pasted numbers, then a file of 100,000 rows with a worker that checks it."""
    print(f"\nReview over HTTP, gunicorn with 2 processes of 12 threads, {ROUNDS} rounds")
    with Stage(server.create()) as stage:
        audience.sign_up(stage, credit=ROUNDS * PASTED)
        with stage.web() as web, Visitor(stage.web_url) as visitor:
            watches = [_paste(visitor) for _ in range(ROUNDS)]
            result = {
                "review_10k_s": show_limit("review_10k_s", [watch.review for watch in watches], 3, "s"),
                "confirm_10k_s": show_limit("confirm_10k_s", [watch.confirm for watch in watches], 2, "s"),
            }
            with stage.worker() as worker:
                seconds = [_upload(visitor) for _ in range(ROUNDS)]
                peak = worker.peak_mib()
            result["review_100k_s"] = show_limit("review_100k_s", seconds, 15, "s")
            result["review_100k_mib"] = show_limit("review_100k_mib (worker)", [peak], 300, "MiB")
            say("most memory of a web process", f"{web.peak_mib():>9.0f} MiB")
    return result


def _paste(visitor: Visitor) -> Watch:
    """Paste numbers, wait for the review, confirm, wait for the campaign's page."""
    form, watch, pages = visitor.get("/sms/campaigns/new"), Watch(), []
    data = {"name": "Benchmark", "text": audience.TEXT, "pasted": audience.pasted(PASTED)}
    watch.review = timed(lambda: pages.append(visitor.post("/sms/campaigns/new", form, data=data)))
    review = pages[0]
    assert review.url.endswith("/review"), review.url
    assert f"{PASTED:,}" in review.text
    path = _path(review).replace("/review", "/confirm")
    answers = {"count": f"{PASTED}", "again": "y"}  # many people, and the same ones in each round
    watch.confirm = timed(lambda: pages.append(visitor.post(path, review, data=answers)))
    assert _path(pages[1]) == path.removesuffix("/confirm"), pages[1].url
    return watch


def _upload(visitor: Visitor) -> float:
    """Upload a file and look again and again, as its page does, until its rows are checked and the review is there."""
    form, content = visitor.get("/sms/campaigns/new"), audience.csv_file(UPLOADED)
    assert UPLOADED > drafts.INLINE_ROWS
    data = {"name": "Benchmark", "text": "Hello ((Name)), your order ((Order)) is ready.", "pasted": ""}
    began = time.perf_counter()
    page = visitor.post("/sms/campaigns/new", form, data=data, files={"file": ("customers.csv", content, "text/csv")})
    status = _path(page).replace("/review", "/status")
    wait_until(lambda: visitor.get(status).json()["stop"], seconds=120)
    review = visitor.get(_path(page))
    seconds = time.perf_counter() - began
    assert f"{UPLOADED * 98 // 100:,}" in review.text, "not the number of good rows"
    return seconds


def _path(page: Response) -> str:
    return urlsplit(page.url).path
