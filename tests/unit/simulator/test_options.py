"""Settings of the simulator."""

import pytest

from smsqueue.simulator.options import Options, WrongOption


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("SIMULATED_P_LOST_REPLIES", "1", "is not a setting of the simulator"),
        ("SIMULATED_P_500", "5", r"SIMULATED_P_500 \(5\) must be a probability from 0 to 1"),
        ("SIMULATED_P_500", "nan", "must be a probability"),
        ("SIMULATED_LATENCY_MS", "-1", "must be whole milliseconds"),
        ("SIMULATED_RATE", "inf", "must be segments a second"),
        ("SIMULATED_DOWN", "maybe", r"SIMULATED_DOWN \(maybe\) must be on or off"),
        ("SIMULATED_CALLBACK_URL", "http://x", "needs SIMULATED_CALLBACK_SECRET"),
    ],
)
def test_wrong_setting_is_refused_with_what_is_allowed(name, value, complaint):
    with pytest.raises(WrongOption, match=complaint):
        Options.from_env({name: value})


def test_names_that_belong_to_others_are_left_alone():
    assert Options.from_env({"SIMULATED_URL": "http://x", "SIMULATED_LOG": "y", "PATH": "/bin"}) == Options()
