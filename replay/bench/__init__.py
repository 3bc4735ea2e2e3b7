"""The Bedrock benchmark: first token and total of models, with statistics one can act on.

``targets`` says what is measured, ``arms`` under which conditions, ``plan`` which request when; ``sdk`` and
``transport`` make one call and time it, ``runner`` makes them all within a budget; ``records`` keeps them,
``summary`` and ``floor`` say what they mean, ``report`` shows it.
"""
