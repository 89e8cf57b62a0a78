"""What operators ask of all workers: kept as rows, written by several at once, over by itself."""

from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa

from smsqueue.queue import control
from smsqueue.queue.control import controls
from smsqueue.queue.dispatch import SECOND


def read(store):
    with store.reading() as session:
        return control.read(session)


def test_several_people_may_ask_for_the_same_at_once(bench):
    def ask(number):
        bench.store.write(lambda s: control.pause(s, "default", reason=f"reason {number}", author="ana"))
        bench.store.write(lambda s: control.request_restart(s, author=f"person {number}"))
        bench.store.write(control.begin_maintenance)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(24)))
    found = read(bench.store)
    assert found.restart > 0
    assert found.maintenance is not None
    assert [pause.name for pause in found.pauses] == ["pause:default"]
    assert len(bench.events("queue.paused")) == 24


def test_asked_again_the_later_wish_counts(bench):
    bench.store.write(lambda s: control.pause(s, "default", seconds=60, reason="old", author="ana"))
    bench.store.write(lambda s: control.pause(s, "default", reason="new"))
    (pause,) = read(bench.store).pauses
    assert (pause.until, pause.reason, pause.author) == (None, "new", "")


def test_pause_ends_by_itself(bench):
    bench.store.write(lambda s: control.pause(s, "default", seconds=60))
    bench.store.write(lambda s: control.begin_maintenance(s, seconds=60))
    bench.execute(sa.update(controls).values(until=controls.c.until - 61 * SECOND))
    found = read(bench.store)
    assert (found.pauses, found.maintenance) == ((), None)
    bench.store.write(lambda s: control.pause(s, "default"))
    assert read(bench.store).pause_of("default")


def test_resume_ends_one_pause_or_all(bench):
    for queue in ("default", "later", control.EVERY):
        bench.store.write(lambda s, queue=queue: control.pause(s, queue))
    assert read(bench.store).pause_of("default").queue == control.EVERY
    assert bench.store.write(lambda s: control.resume(s, "default")) == 1
    assert bench.store.write(control.resume) == 2
    assert bench.store.write(control.resume) == 0
    assert [facts["queue"] for facts in bench.events("queue.resumed")] == ["default", "*"]


def test_maintenance_ends_once(bench):
    bench.store.write(lambda s: control.begin_maintenance(s, reason="upgrade", author="ben"))
    assert bench.store.write(lambda s: control.end_maintenance(s, author="ann"))
    assert not bench.store.write(control.end_maintenance)
    assert bench.events("maintenance.began") == [{"seconds": None, "author": "ben", "reason": "upgrade"}]
    assert bench.events("maintenance.ended") == [{"author": "ann"}]


def test_only_wishes_are_read(bench):
    bench.execute(sa.insert(controls).values(name="drill:1:state", value=1))
    assert read(bench.store) == control.Controls()
