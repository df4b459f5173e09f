"""A line for each step that holds; the first that does not ends it."""
import sys


def that(what, holds, seen=None):
    if not holds:
        print(f"FAILED {what}: {seen}")
        sys.exit(1)
    print(f"ok {what}")
