"""Commands of `quantgate` beside `run`; each module adds one to the parser."""
