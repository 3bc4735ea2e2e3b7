"""``POST /stream``: one prompt in, the answer token by token, as server-sent events.

An HTTP application of its own: Lambda's runtime for Python cannot stream, Lambda Web Adapter in front of this can.
"""
