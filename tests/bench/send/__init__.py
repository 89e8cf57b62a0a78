"""Sending measured: beside bare clients, over a million recipients, and with reports coming in."""
