"""Synthesis: prose out of measured facts. The only code that talks to a model.

What an asset asks is a `loop.Task`; `loop.run` works on it and tells what it does, event by event; `loop.write` gives
only the answer in the end. Nothing here declares an asset or counts anything but tokens and money.
"""
