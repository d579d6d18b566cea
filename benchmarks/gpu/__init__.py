"""Measured claims that need a GPU; `make bench` leaves them out."""
