"""`python -m smsqueue.simulator`: the same process as `flask sms simulator`."""

from smsqueue.simulator.main import main

if __name__ == "__main__":
    main()
