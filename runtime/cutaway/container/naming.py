"""Ids and names. An id is 64 random hex digits; who is not named gets an adjective and a noun."""

from __future__ import annotations

import secrets
from collections.abc import Container

_ADJECTIVES = ["amber", "brave", "breezy", "bright", "brisk", "calm", "candid", "careful", "cheerful", "clever", "cosy", "crisp", "curious", "daring", "eager", "early", "easy", "fair", "fancy", "fast", "fearless", "fine", "fluffy", "fresh", "friendly", "gentle", "glad", "golden", "graceful", "handy", "happy", "hearty", "honest", "humble", "jolly", "keen", "kind", "light", "lively", "loyal", "lucky", "mellow", "merry", "mighty", "modest", "neat", "nimble", "noble", "patient", "peaceful", "plain", "playful", "polite", "proud", "quick", "quiet", "rapid", "ready", "round", "sharp", "shiny", "silent", "simple", "sleepy", "smart", "smooth", "snug", "solid", "steady", "strong", "sunny", "swift", "tidy", "tiny", "warm", "wise", "witty", "young"]
_NOUNS = ["acorn", "anchor", "apple", "arrow", "badger", "beacon", "beetle", "birch", "bison", "bridge", "brook", "canyon", "cedar", "cherry", "cloud", "clover", "comet", "coral", "crane", "cricket", "delta", "dolphin", "dune", "eagle", "ember", "falcon", "fern", "finch", "forest", "fox", "garden", "glacier", "harbor", "hazel", "heron", "hill", "ibis", "island", "ivy", "jasmine", "kestrel", "lagoon", "lake", "lantern", "lark", "lemon", "lily", "lynx", "magpie", "maple", "meadow", "mill", "moon", "moss", "oak", "orchid", "osprey", "otter", "owl", "panda", "peak", "pebble", "pelican", "pine", "plum", "poppy", "puffin", "quail", "rabbit", "raven", "reef", "river", "robin", "rose", "sail", "seal", "sparrow", "spruce", "star", "stone", "stork", "summit", "swan", "thistle", "tiger", "tulip", "turtle", "valley", "walnut", "whale", "willow", "wren"]


def new_id() -> str:
    """64 hex digits that nobody else has. Not all digits decimal at the front, so no short id reads as a number."""
    while True:
        candidate = secrets.token_hex(32)
        if not candidate[:12].isdigit():
            return candidate


def new_name(taken: Container[str]) -> str:
    """`brave_otter`; with a digit behind it when the first choices are taken."""
    for attempt in range(1000):
        name = f"{secrets.choice(_ADJECTIVES)}_{secrets.choice(_NOUNS)}"
        if attempt > 10:
            name += str(secrets.randbelow(10 + attempt))
        if name not in taken:
            return name
    return new_id()[:12]
