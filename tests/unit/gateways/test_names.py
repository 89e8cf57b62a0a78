"""Every gateway has all that others look up by its name."""

from smsqueue import config_gateways, config_routes
from smsqueue.gateways import GATEWAYS, trials


def test_every_gateway_may_be_routed_to_and_has_advice_for_its_drill():
    assert tuple(GATEWAYS) == config_routes.GATEWAYS
    assert set(config_gateways.NEEDED) == set(GATEWAYS) - set(config_routes.FAKE_GATEWAYS)
    for advice in (trials.SETTINGS, trials.FORGED, trials.UNSIGNED, trials.SILENT):
        assert set(advice) == set(GATEWAYS) - {"log"}
