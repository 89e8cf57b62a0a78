"""The queue, measured beside bare programs and beside others' queues: `make bench-queue`."""
