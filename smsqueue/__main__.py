"""The command `smsqueue`, also as `python -m smsqueue`."""

import sys

# A worker needs neither pages nor migrations: without them it begins in half the time.
if sys.argv[1:3] == ["sms", "work"]:
    from smsqueue.worker_app import main
else:
    from smsqueue.app import main

if __name__ == "__main__":
    main()
