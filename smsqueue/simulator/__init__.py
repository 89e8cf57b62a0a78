"""The outside world for demo, tests and drills: an HTTP SMS gateway, a mailbox and a page that shows what arrived.

One process that knows nothing of the rest of smsqueue, so that tests can kill either side.
"""
