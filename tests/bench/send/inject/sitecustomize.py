"""Run by Python as it starts: `flask sms work`, otherwise as it is, calls its gateway by another HTTP client."""

import os
import sys

sys.path.append(os.environ["BENCH_PEERS"])

from smsqueue.gateways import adapter
from tests.bench.send.inject.others import CLIENTS

vars(adapter)["HttpCaller"] = CLIENTS[os.environ["BENCH_HTTP_CLIENT"]]
