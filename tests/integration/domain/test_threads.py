"""Several slices at once in one worker: they share its window and its callers."""

from tests.domain_fixtures import plain
from tests.domain_workers import Held
from tests.outside import wait_until


def test_slices_side_by_side_share_the_window_and_send_to_everybody_once(office, make_crew):
    campaign = office.launched(60, slice_rows=10)
    gateway = Held()
    crew = make_crew(gateway, SMS_CONCURRENCY="6", SMS_WINDOW="6")
    crew.services.threads = 3

    with_threads = crew.start(threads=3)
    wait_until(lambda: len(gateway.calls) == 6)
    numbers = plain(60)
    slices = {numbers.index(number) // 10 for number in gateway.numbers}
    sending = office.states(campaign)["sending"]
    gateway.let_go()
    with_threads.ended()

    assert (len(slices), sending) == (3, 6)
    crew.finish(office)
    assert sorted(gateway.numbers) == sorted(numbers)
    assert office.reload(campaign).sent == 60
