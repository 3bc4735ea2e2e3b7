"""Bedrock's streams and its catalogue, on loopback: paced tokens over the real event-stream protocol.

``catalogue`` holds the models with what is published about them, ``timing`` turns a model and a request into the
moments at which its tokens leave, ``prompt_cache`` remembers prefixes by region, ``frames`` writes the wire format,
``events`` what goes into it, and ``service`` answers the requests.
"""
