"""Simulated time on SimPy: the clock, ranks, arbitration, chance and observation that all models share."""
