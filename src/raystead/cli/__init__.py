"""Commands: parse, call ops, render, exit code."""
