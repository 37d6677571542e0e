"""Runs a model builder whose tables are the same every time: `run_builder MODULE ARGUMENTS...`."""

from __future__ import annotations

import runpy
import sys

from quantgate.vector_math import settle_vector_math

if __name__ == "__main__":
    settle_vector_math()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
