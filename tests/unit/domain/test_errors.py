from smsqueue.domain.errors import BadDraft, NotEnoughCredits, NotFound


def test_missing_credits_are_told_as_facts_and_as_a_sentence():
    error = NotEnoughCredits(needed=1200, available=1000)

    assert (error.needed, error.available, error.missing) == (1200, 1000, 200)
    assert str(error) == "This costs 1,200 credits and the balance is 1,000: 200 are missing."


def test_what_is_not_found_is_named():
    error = NotFound("campaign")

    assert (error.thing, str(error)) == ("campaign", "There is no such campaign.")


def test_a_bad_field_is_named():
    error = BadDraft("name", "Give it a name.")

    assert (error.field, str(error)) == ("name", "Give it a name.")
