"""`python -m smsqueue`: the same as the command `smsqueue`."""

from smsqueue.app import main

main()
