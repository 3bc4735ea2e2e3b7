"""Rehearsals: the controller itself, in simulated time, against regressions that are put there on purpose.

``scenario``  what goes wrong, and how much
``world``     alias, traffic, evidence and clock of a rehearsal
``peers``     other deciders on the same traffic: repeated z-test, Mann-Whitney judge, threshold alarm
``run``       many rehearsals, and what they say: false alarms, detection, time to it, requests harmed
"""
