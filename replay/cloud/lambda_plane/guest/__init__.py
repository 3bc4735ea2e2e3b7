"""Scripts that run outside the tool's own process, on the standard library alone.

They are started by path, in an interpreter without ``site``, and so must import nothing of ours.
"""
