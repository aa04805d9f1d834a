"""The embedded deployment: a whole fabric on one machine, started by `make up`.

`preflight` prepares the machine with nothing but the standard library; the rest starts named processes, waits until
they answer, and stops them by their own process ids. It knows commands and ports, not the applications behind them.
"""
