"""A canary one can leave alone: it owns the weights of the ``live`` alias and decides on evidence.

``plan``        what is wanted: steps, objectives, what to do when the data cannot tell
``sequential``  tests that stay valid however often one looks
``judge``       objectives × evidence → go on, wait, or roll back, with the reason in one line
``evidence``    what each version did, per step: from CloudWatch Logs or metrics
``journal``     each decision written down before it is acted on; the lease that keeps two controllers apart
``controller``  the state machine that joins them; ``takeover`` begins it, or takes over a dead one's rollout
``live``        all of it put together on real clients; ``start`` and ``abort`` are its two ends
``rehearse``    the same controller in simulated time against injected regressions
"""
