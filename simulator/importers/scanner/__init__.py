"""The compiled half of :mod:`simulator.importers.log_scan`; importing its ``scan`` takes numba's half second."""
