"""The first run of a fabric, as `make up` shows it: the main job, told step by step.

Everything here is done with the public commands (`gf`, `ssh`) in the name of the person who would do it, each with a
folder and credentials of their own; nothing reaches into a database or calls a function that a user could not. What
exists already is left alone, so that an interrupted run is completed by the next one.
"""
